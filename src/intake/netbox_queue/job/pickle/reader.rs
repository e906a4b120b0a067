use super::super::error::JobError;

/// Reads a pickle from front to back and knows where it is.
pub(super) struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(super) fn bad(&self, what: &'static str) -> JobError {
        JobError::BadPickle { offset: self.at, what }
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], JobError> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or_else(|| self.bad("it ends too early"))?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], JobError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    pub(super) fn byte(&mut self) -> Result<u8, JobError> {
        Ok(self.array::<1>()?[0])
    }

    /// A length or an index in one, two, four or eight bytes.
    pub(super) fn size<const N: usize>(&mut self) -> Result<usize, JobError> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.array::<N>()?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| self.bad("a length is beyond this machine"))
    }

    /// What a length of `N` bytes precedes.
    pub(super) fn block<const N: usize>(&mut self) -> Result<&'a [u8], JobError> {
        let length = self.size::<N>()?;
        self.bytes(length)
    }

    /// The rest of a line, as protocol 0 has it.
    pub(super) fn line(&mut self) -> Result<&'a [u8], JobError> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|b| *b == b'\n').ok_or_else(|| self.bad("a line does not end"))?;
        let line = self.bytes(length)?;
        self.at += 1;
        Ok(line)
    }

    pub(super) fn remaining(&self) -> usize {
        self.data.len().saturating_sub(self.at)
    }
}
