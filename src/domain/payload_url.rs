//! Payload URLs, fixed or templated, and the endpoint each belongs to.

use std::fmt;
use std::sync::Arc;

use url::Url;

use super::credentials::MASK;

/// Longest payload URL, as in NetBox's `Webhook.payload_url`.
pub const MAX_LENGTH: usize = 500;

/// A valid `http` or `https` payload URL.
#[derive(Clone, PartialEq, Eq)]
pub struct PayloadUrl {
    /// What is requested: without userinfo and fragment.
    pub url: Arc<str>,
    pub origin: Origin,
    /// Userinfo of the URL, sent as Basic authorization (as NetBox's `requests` does) and shown nowhere.
    pub basic_auth: Option<Arc<BasicAuth>>,
}

#[derive(PartialEq, Eq)]
pub struct BasicAuth {
    pub user: String,
    pub password: String,
}

/// `scheme://host:port`; endpoints of one origin share connections and limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin(pub Arc<str>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadUrlError {
    #[error("a payload URL is required")]
    Empty,
    #[error("must be at most {MAX_LENGTH} characters, is {0}")]
    TooLong(usize),
    #[error("\"{0}\" is not a URL: {1}; give one like https://host/path")]
    Invalid(String, url::ParseError),
    #[error("scheme \"{0}\" is not supported; use http or https")]
    Scheme(String),
    #[error("the URL names no host")]
    NoHost,
}

/// Where a webhook sends: to one URL, or to one for each event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Fixed(PayloadUrl),
    /// The text of a template, userinfo masked: what names its endpoints.
    Template(Arc<str>),
}

impl Target {
    /// What holds template syntax is taken for a template and read where it is rendered.
    ///
    /// # Errors
    /// Neither a template of at most [`MAX_LENGTH`] characters nor a valid payload URL.
    pub fn parse(text: &str) -> Result<Self, PayloadUrlError> {
        let text = text.trim();
        if !is_template(text) {
            return PayloadUrl::parse(text).map(Self::Fixed);
        }
        match text.chars().count() {
            length if length > MAX_LENGTH => Err(PayloadUrlError::TooLong(length)),
            _ => Ok(Self::Template(mask_userinfo(text).into())),
        }
    }

    /// What identifies the endpoint: of a URL see [`PayloadUrl::endpoint_key`]; of a template the text, which with each
    /// origin it is rendered to is an endpoint of its own.
    pub fn endpoint_key(&self) -> &Arc<str> {
        match self {
            Self::Fixed(url) => &url.url,
            Self::Template(text) => text,
        }
    }

    /// The origin of its own endpoint. That of a template has none: it holds what could not be rendered.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Fixed(url) => url.origin.clone(),
            Self::Template(_) => Origin::none(),
        }
    }
}

impl Origin {
    /// Of what goes nowhere.
    pub fn none() -> Self {
        Self("".into())
    }
}

/// Whether a text holds Jinja's syntax.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening))
}

impl PayloadUrl {
    /// # Errors
    /// Anything but an absolute `http` or `https` URL of at most [`MAX_LENGTH`] characters.
    pub fn parse(text: &str) -> Result<Self, PayloadUrlError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PayloadUrlError::Empty);
        }
        if text.chars().count() > MAX_LENGTH {
            return Err(PayloadUrlError::TooLong(text.chars().count()));
        }
        let mut url = Url::parse(text).map_err(|e| PayloadUrlError::Invalid(mask_userinfo(text), e))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PayloadUrlError::Scheme(url.scheme().to_owned()));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(PayloadUrlError::NoHost);
        }
        let decode = |s: &str| percent_decode(s);
        let basic_auth = (!url.username().is_empty() || url.password().is_some()).then(|| {
            Arc::new(BasicAuth { user: decode(url.username()), password: decode(url.password().unwrap_or("")) })
        });
        // Neither call can fail: the URL has a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_fragment(None);
        let origin = Origin(url.origin().ascii_serialization().into());
        Ok(Self { url: url.as_str().into(), origin, basic_auth })
    }

    /// What identifies the endpoint: scheme and host lower-case, default port and userinfo dropped, path and query
    /// untouched.
    pub fn endpoint_key(&self) -> &str {
        &self.url
    }
}

impl fmt::Debug for PayloadUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PayloadUrl").field(&self.url).finish()
    }
}

/// The URL with any userinfo replaced, for messages and pages.
pub fn mask_userinfo(text: &str) -> String {
    let Some(scheme_end) = text.find("://").map(|i| i + 3) else { return text.to_owned() };
    let authority_end = text[scheme_end..].find(['/', '?', '#']).map_or(text.len(), |i| scheme_end + i);
    match text[scheme_end..authority_end].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &text[..scheme_end], &text[scheme_end + at..]),
        None => text.to_owned(),
    }
}

fn percent_decode(s: &str) -> String {
    // form_urlencoded also turns "+" into a space, which userinfo does not mean.
    let plain = s.replace('+', "%2B");
    form_urlencoded::parse(plain.as_bytes()).next().map_or_else(String::new, |(k, _)| k.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_the_url_normalised() {
        let u = PayloadUrl::parse("HTTPS://bob:p%40ss@AWX.Example.com:443/Hook?x=1#frag").expect("a valid URL");
        assert_eq!(u.endpoint_key(), "https://awx.example.com/Hook?x=1");
        assert_eq!(&*u.origin.0, "https://awx.example.com");
        let auth = u.basic_auth.as_deref().expect("userinfo");
        assert_eq!((auth.user.as_str(), auth.password.as_str()), ("bob", "p@ss"));
        assert!(!format!("{u:?}").contains("p@ss"));
    }

    #[test]
    fn what_is_no_web_address_is_refused_with_a_reason() {
        for bad in ["", "not a url", "ftp://host/", "http://", "mailto:x@y"] {
            assert!(PayloadUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn userinfo_is_masked() {
        assert_eq!(mask_userinfo("https://u:p@h/x@y"), "https://********@h/x@y");
        assert_eq!(mask_userinfo("https://h/x@y"), "https://h/x@y");
    }
}
