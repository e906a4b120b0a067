//! Passwords, as they are kept: Argon2id, computed beside the threads that serve.

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use tokio::sync::Semaphore;

/// Shortest password, in characters.
pub const MIN_LENGTH: usize = 10;
/// Longest, in bytes.
pub const MAX_LENGTH: usize = 1_024;

/// Hashes computed at once: each takes 19 MiB and some 20 ms of a core.
static PLACES: Semaphore = Semaphore::const_new(2);

/// Passwords that may wait to be looked at: more are told to come again, so that strangers pile up nothing.
static QUEUE: Semaphore = Semaphore::const_new(64);

/// What came of looking at a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fits,
    Wrong,
    /// Nobody looked: too many wait already.
    Busy,
}

/// What is wrong with a password that somebody wants to use.
pub fn objection(password: &str) -> Option<String> {
    if password.chars().count() < MIN_LENGTH {
        return Some(format!("must have at least {MIN_LENGTH} characters"));
    }
    (password.len() > MAX_LENGTH).then(|| format!("must have at most {MAX_LENGTH} bytes"))
}

/// The hash of a password, with a new salt, in PHC's string form.
///
/// # Source
/// The parameters are the crate's defaults, which are OWASP's: 19 MiB, 2 passes, 1 lane.
pub fn hash(password: &str) -> String {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).expect("the kernel gives random bytes");
    let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
    Argon2::default().hash_password(password.as_bytes(), &salt).expect("any password can be hashed").to_string()
}

/// Whether it is the password that was hashed.
pub fn is(password: &str, kept: &str) -> bool {
    let Ok(kept) = PasswordHash::new(kept) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()
}

/// [`is`] on another thread. Without a hash it takes as long and is wrong: whether a name exists does not show.
pub async fn verify(password: String, kept: Option<String>) -> Verdict {
    let Ok(_turn) = QUEUE.try_acquire() else { return Verdict::Busy };
    // The semaphore is never closed.
    let Ok(_place) = PLACES.acquire().await else { return Verdict::Busy };
    let compare = move || match kept {
        Some(kept) => is(&password, &kept),
        None => {
            let _ = hash(&password);
            false
        }
    };
    match actix_web::rt::task::spawn_blocking(compare).await {
        Ok(true) => Verdict::Fits,
        _ => Verdict::Wrong,
    }
}

/// [`hash`] on another thread; `None` when the process ends meanwhile.
pub async fn make(password: String) -> Option<String> {
    let _place = PLACES.acquire().await.ok()?;
    actix_web::rt::task::spawn_blocking(move || hash(&password)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn only_the_password_itself_fits_and_salts_differ() {
        let kept = make("correct horse".to_owned()).await.expect("a hash");
        assert!(kept.starts_with("$argon2id$") && kept != hash("correct horse"));
        assert_eq!(verify("correct horse".to_owned(), Some(kept.clone())).await, Verdict::Fits);
        assert_eq!(verify("correct horsf".to_owned(), Some(kept)).await, Verdict::Wrong);
        assert_eq!(verify("x".to_owned(), None).await, Verdict::Wrong);
        assert!(!is("x", "nonsense"));
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(objection("123456789").is_some() && objection("1234567890").is_none());
        assert!(objection(&"x".repeat(MAX_LENGTH + 1)).is_some());
    }
}
