//! Who is asking: API tokens and their scopes.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use parking_lot::RwLock;
use sha2::{Digest, Sha256};

use super::AppState;
use super::error::ApiError;
use crate::store::admin::{Scope, Token};
use crate::telemetry::{Refusal, metrics};

/// The SHA-256 of a token, as it is kept.
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A new token: 32 random bytes in hex.
pub fn generate() -> String {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The token a request came with.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthToken {
    pub id: u32,
    /// The id as text: whose idempotency keys these are.
    pub id_text: String,
    pub name: String,
    scopes: Vec<Scope>,
    hash: [u8; 32],
}

impl AuthToken {
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// The stored tokens by hash, rebuilt when the store has other ones.
#[derive(Default)]
pub struct TokenCache {
    // Shared by the HTTP workers; an actor per request would cost more than the lock. Never held across an await.
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    source: Option<Arc<Vec<Token>>>,
    by_hash: HashMap<[u8; 32], Arc<AuthToken>>,
}

impl TokenCache {
    /// The token with this text among `stored`, if any.
    pub fn find(&self, stored: &Arc<Vec<Token>>, presented: &str) -> Option<Arc<AuthToken>> {
        let hash = hash(presented);
        {
            let known = self.known.read();
            if known.source.as_ref().is_some_and(|s| Arc::ptr_eq(s, stored)) {
                return known.find(&hash);
            }
        }
        let mut known = self.known.write();
        *known = Known::of(stored);
        known.find(&hash)
    }
}

impl Known {
    fn of(stored: &Arc<Vec<Token>>) -> Self {
        let entry = |t: &Token| {
            let (id_text, name, scopes) = (t.id.to_string(), t.name.clone(), t.scopes.clone());
            (t.hash, Arc::new(AuthToken { id: t.id, id_text, name, scopes, hash: t.hash }))
        };
        Self { source: Some(stored.clone()), by_hash: stored.iter().map(entry).collect() }
    }

    fn find(&self, hash: &[u8; 32]) -> Option<Arc<AuthToken>> {
        // The map's own comparison may stop early, which tells an attacker nothing about a hash he cannot steer; the
        // decision itself takes the same time for every near miss.
        self.by_hash.get(hash).filter(|token| same(&token.hash, hash)).cloned()
    }
}

fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y))) == 0
}

/// The credentials of an `Authorization: Token …` or `Bearer …` header.
///
/// # Source
/// RFC 9110 §11.4: the scheme is case-insensitive. `Token` is NetBox's.
fn presented(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    (known && !token.is_empty()).then_some(token)
}

fn authenticate(req: &HttpRequest) -> Result<Arc<AuthToken>, ApiError> {
    let Some(state) = req.app_data::<web::Data<AppState>>() else {
        return Err(ApiError::unauthorized("this server has no tokens"));
    };
    let Some(header) = req.headers().get(AUTHORIZATION) else {
        return Err(ApiError::unauthorized("no token given; send \"Authorization: Token <token>\""));
    };
    let Some(token) = header.to_str().ok().and_then(presented) else {
        return Err(ApiError::unauthorized("not a token; send \"Authorization: Token <token>\""));
    };
    state.tokens.find(&state.store.tokens(), token).ok_or_else(|| ApiError::unauthorized("this token is not known"))
}

/// A scope as a type, so that a handler's signature says what it needs.
pub trait Needs: 'static {
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($name:ident => $scope:ident),*) => {$(
        #[doc = concat!("Asks for the scope of the same name.")]
        pub struct $name;
        impl Needs for $name {
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}

needs!(Ingest => Ingest, Read => Read, Operate => Operate, Admin => Admin);

/// Extractor: the request's token, which has the scope `S`. First among a handler's arguments, so that nothing is read
/// from a stranger.
pub struct Allowed<S: Needs> {
    pub token: Arc<AuthToken>,
    scope: PhantomData<S>,
}

impl<S: Needs> FromRequest for Allowed<S> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        let allowed = authenticate(req).and_then(|token| match token.allows(S::SCOPE) {
            true => Ok(Self { token, scope: PhantomData }),
            false => Err(ApiError::forbidden(S::SCOPE)),
        });
        if allowed.is_err() && S::SCOPE == Scope::Ingest {
            metrics().events_refused(Refusal::Unauthorized, 1);
        }
        ready(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn stored(name: &str, text: &str, scopes: &[Scope]) -> Token {
        Token { id: 1, name: name.into(), scopes: scopes.to_vec(), hash: hash(text), created: Timestamp(0) }
    }

    #[test]
    fn a_token_is_found_by_its_text_until_it_is_revoked() {
        let cache = TokenCache::default();
        let tokens = Arc::new(vec![stored("ci", "s3cret", &[Scope::Read])]);
        let found = cache.find(&tokens, "s3cret").expect("it is known");
        assert_eq!((found.name.as_str(), found.allows(Scope::Read), found.allows(Scope::Operate)), ("ci", true, false));
        assert_eq!(cache.find(&tokens, "s3creT"), None);
        assert_eq!(cache.find(&Arc::new(Vec::new()), "s3cret"), None);
    }

    #[test]
    fn admin_includes_all() {
        let cache = TokenCache::default();
        let found = cache.find(&Arc::new(vec![stored("root", "x", &[Scope::Admin])]), "x").expect("it is known");
        assert!(Scope::ALL.into_iter().all(|scope| found.allows(scope)));
    }

    #[test]
    fn token_and_bearer_are_taken_in_any_case() {
        assert_eq!(presented("Token abc"), Some("abc"));
        assert_eq!(presented("bearer  abc "), Some("abc"));
        assert_eq!(presented("Basic abc"), None);
        assert_eq!(presented("Token "), None);
        assert_eq!(presented("abc"), None);
    }

    #[test]
    fn generated_tokens_have_256_bits_and_differ() {
        let (a, b) = (generate(), generate());
        assert_eq!(a.len(), 64);
        assert_ne!(a, b);
    }
}
