//! What a running service cannot take over from a new configuration.

use super::Config;

/// Leaves in `new` what is fixed at the start as it is in `old`; names the keys that differ.
pub fn keep_fixed(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut fix = Fix(Vec::new());
    fix.key("server.listen", &old.server.listen, &mut new.server.listen);
    fix.key("server.shutdown_timeout", &old.server.shutdown_timeout, &mut new.server.shutdown_timeout);
    fix.key("server.base_path", &old.server.base_path, &mut new.server.base_path);
    fix.key("server.intake_threads", &old.server.intake_threads, &mut new.server.intake_threads);
    fix.key("store.backend", &old.store.backend, &mut new.store.backend);
    fix.key("store.path", &old.store.path, &mut new.store.path);
    fix.key("store.durability", &old.store.durability, &mut new.store.durability);
    fix.key("store.max_backlog", &old.store.max_backlog, &mut new.store.max_backlog);
    fix.key("delivery.threads", &old.delivery.threads, &mut new.delivery.threads);
    fix.key(
        "delivery.max_template_origins",
        &old.delivery.max_template_origins,
        &mut new.delivery.max_template_origins,
    );
    fix.key("redis", &old.redis, &mut new.redis);
    fix.key("netbox.url", &old.netbox.url, &mut new.netbox.url);
    fix.key("netbox.token", &old.netbox.token, &mut new.netbox.token);
    fix.key("intake.netbox_queue", &old.intake.netbox_queue, &mut new.intake.netbox_queue);
    fix.key("intake.redis_stream", &old.intake.redis_stream, &mut new.intake.redis_stream);
    fix.key("intake.idempotency_window", &old.intake.idempotency_window, &mut new.intake.idempotency_window);
    fix.key("log.format", &old.log.format, &mut new.log.format);
    fix.0
}

struct Fix(Vec<&'static str>);

impl Fix {
    fn key<T: Clone + PartialEq>(&mut self, name: &'static str, old: &T, new: &mut T) {
        if old != new {
            self.0.push(name);
            new.clone_from(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fixed_stays_and_is_named_and_the_rest_is_taken() {
        let old = Config::default();
        let text = "[server]\nmax_batch = 7\nbase_path = \"/x\"\n[store]\nmax_history = 5\n[log]\nformat = \"json\"\n";
        let mut new = Config::parse(text, &[]).expect("it is right");
        assert_eq!(keep_fixed(&old, &mut new), ["server.base_path", "log.format"]);
        assert_eq!((new.server.base_path.as_str(), new.server.max_batch, new.store.max_history), ("", 7, 5));
        assert_eq!(new.log.format, old.log.format);
    }
}
