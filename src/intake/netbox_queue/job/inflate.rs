use std::io::Read;

use flate2::read::ZlibDecoder;

use super::error::JobError;

/// Inflates a job's `data`. What follows the zlib stream is ignored, as Python's `zlib.decompress` callers see it.
///
/// # Errors
/// It is no complete zlib stream, or holds more than `limit` bytes.
pub(super) fn inflate(data: &[u8], limit: usize) -> Result<Vec<u8>, JobError> {
    // NetBox's jobs shrink to about half.
    let mut out = Vec::with_capacity(data.len().saturating_mul(3).min(limit));
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    ZlibDecoder::new(data).take(one_more).read_to_end(&mut out).map_err(|_| JobError::NotZlib)?;
    if out.len() > limit {
        return Err(JobError::TooLarge { limit });
    }
    Ok(out)
}
