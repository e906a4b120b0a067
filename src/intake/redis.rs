//! The way to a Redis: made when it is needed, made anew after it broke, in the words of NetBox's own settings.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, TlsCertificates, TlsMode,
};

use crate::config;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take. Redis runs one command at a time; a large batch of another client may stand before ours.
const ANSWER: Duration = Duration::from_secs(30);

/// What a Redis could not do.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("Redis at {at}: {error}")]
    Redis { at: String, error: redis::RedisError },
    #[error("redis.ca_cert_path {path}: {error}")]
    Certificate { path: String, error: std::io::Error },
}

/// One connection, kept until it breaks. Who asks again after an error gets a new one.
pub struct Link {
    settings: config::Redis,
    way: Option<Way>,
    open: Option<MultiplexedConnection>,
}

enum Way {
    Direct(Client),
    Sentinel(SentinelClient),
}

impl Link {
    pub const fn new(settings: config::Redis) -> Self {
        Self { settings, way: None, open: None }
    }

    /// Runs one command or script.
    ///
    /// # Errors
    /// It may or may not have been carried out; the connection is made anew for the next.
    pub async fn run<T: FromRedisValue>(&mut self, command: &redis::Cmd) -> Result<T, LinkError> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        self.looked_at(answer)
    }

    /// Runs several commands in one go.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn pipe<T: FromRedisValue>(&mut self, commands: &redis::Pipeline) -> Result<T, LinkError> {
        let mut connection = self.connection().await?;
        let answer = commands.query_async(&mut connection).await;
        self.looked_at(answer)
    }

    /// Runs a script, which Redis is told when it does not know it yet.
    ///
    /// # Errors
    /// As [`Link::run`].
    pub async fn script<T: FromRedisValue>(&mut self, call: &redis::ScriptInvocation<'_>) -> Result<T, LinkError> {
        let mut connection = self.connection().await?;
        let answer = call.invoke_async(&mut connection).await;
        self.looked_at(answer)
    }

    fn looked_at<T>(&mut self, answer: redis::RedisResult<T>) -> Result<T, LinkError> {
        answer.map_err(|error| {
            // What Redis itself refuses it refuses on any connection, unless it is no longer the one that may write.
            if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || read_only(&error) {
                self.open = None;
            }
            self.error(error)
        })
    }

    /// Follows a channel, on a connection of its own.
    ///
    /// # Errors
    /// It could not be made.
    pub async fn subscribe(&mut self, channel: &str) -> Result<redis::aio::PubSub, LinkError> {
        let client = match self.way()? {
            Way::Direct(client) => Ok(client.clone()),
            Way::Sentinel(client) => client.async_get_client().await,
        };
        let client = client.map_err(|error| self.error(error))?;
        let mut pubsub = client.get_async_pubsub().await.map_err(|error| self.error(error))?;
        pubsub.subscribe(channel).await.map_err(|error| self.error(error))?;
        Ok(pubsub)
    }

    fn way(&mut self) -> Result<&mut Way, LinkError> {
        let made = match self.way.take() {
            Some(way) => way,
            None => way(&self.settings)?,
        };
        Ok(self.way.insert(made))
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, LinkError> {
        if let Some(open) = &self.open {
            return Ok(open.clone());
        }
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        let made = match self.way()? {
            Way::Direct(client) => client.get_multiplexed_async_connection_with_config(&config).await,
            Way::Sentinel(client) => client.get_async_connection_with_config(&config).await,
        };
        let open = made.map_err(|error| self.error(error))?;
        Ok(self.open.insert(open).clone())
    }

    fn error(&self, error: redis::RedisError) -> LinkError {
        let config::Redis { host, port, sentinels, .. } = &self.settings;
        let at = if sentinels.is_empty() { format!("{host}:{port}") } else { sentinels.join(", ") };
        LinkError::Redis { at, error }
    }
}

/// A former master that has been told it is a replica.
fn read_only(error: &redis::RedisError) -> bool {
    let said = |code: &str| matches!(code, "READONLY" | "LOADING" | "MASTERDOWN");
    // Redis 6.2 says so within the error of a script.
    error.code().is_some_and(said) || error.to_string().contains("READONLY")
}

fn way(settings: &config::Redis) -> Result<Way, LinkError> {
    let at = || format!("{}:{}", settings.host, settings.port);
    let unusable = |error| LinkError::Redis { at: at(), error };
    let certificates = match (settings.ssl, settings.ca_cert_path.as_str()) {
        (false, _) => None,
        (true, "") => Some(None),
        (true, path) => {
            let pem = std::fs::read(path).map_err(|error| LinkError::Certificate { path: path.to_owned(), error })?;
            Some(Some(pem))
        }
    };
    if !settings.sentinels.is_empty() {
        return sentinel(settings, certificates.flatten()).map(Way::Sentinel).map_err(unusable);
    }
    let info = info(settings).map_err(unusable)?;
    let client = match certificates {
        None => Client::open(info),
        Some(root_cert) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert }),
    };
    client.map(Way::Direct).map_err(unusable)
}

fn info(settings: &config::Redis) -> redis::RedisResult<ConnectionInfo> {
    let (host, port) = (settings.host.clone(), settings.port);
    let addr = if settings.ssl {
        ConnectionAddr::TcpTls { host, port, insecure: settings.insecure_skip_tls_verify, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut login = RedisConnectionInfo::default().set_db(settings.database.into());
    if !settings.username.is_empty() {
        login = login.set_username(&settings.username);
    }
    if !settings.password.is_empty() {
        login = login.set_password(&settings.password);
    }
    Ok(addr.into_connection_info()?.set_redis_settings(login))
}

/// As in NetBox, the Sentinels themselves are asked without a password and without TLS.
fn sentinel(settings: &config::Redis, root_cert: Option<Vec<u8>>) -> redis::RedisResult<SentinelClient> {
    let sentinels = settings.sentinels.iter().filter_map(|address| {
        let (host, port) = address.rsplit_once(':')?;
        Some(ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?))
    });
    let mut builder = SentinelClientBuilder::new(sentinels, &settings.sentinel_service, SentinelServerType::Master)?
        .set_client_to_redis_db(settings.database.into());
    if !settings.username.is_empty() {
        builder = builder.set_client_to_redis_username(&settings.username);
    }
    if !settings.password.is_empty() {
        builder = builder.set_client_to_redis_password(&settings.password);
    }
    if settings.ssl {
        let mode = if settings.insecure_skip_tls_verify { TlsMode::Insecure } else { TlsMode::Secure };
        builder = builder.set_client_to_redis_tls_mode(mode);
        if root_cert.is_some() {
            builder = builder.set_client_to_redis_certificates(TlsCertificates { client_tls: None, root_cert });
        }
    }
    builder.build()
}
