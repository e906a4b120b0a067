//! What can stand behind a key: how each kind of value is read, checked and written.
//!
//! A section names its keys once, in [`Section::visit`]; loading, printing and the policy of the REST API are visitors
//! of that one list.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use super::units;
use crate::domain::credentials::MASK;

/// One value behind a key.
pub trait Setting {
    /// Takes the value over.
    ///
    /// # Errors
    /// What is wrong with it and what is allowed, without the key's name; nothing changes then.
    fn set(&mut self, value: &Value) -> Result<(), String>;

    /// The value as it would be written in the file; secrets masked.
    fn show(&self) -> Value;

    /// Whether it is a list, so that a variable's text is read as one.
    fn takes_list(&self) -> bool {
        false
    }
}

/// Something that is done with every key of a section.
pub trait Visitor {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting);
}

/// A table of the configuration.
pub trait Section {
    /// Names every key with its setting, in the order they are printed.
    fn visit(&mut self, visitor: &mut dyn Visitor);
}

/// How a wrong value is named in a message.
fn named(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        scalar => scalar.to_string(),
    }
}

impl Setting for bool {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self = value.as_bool().ok_or_else(|| format!("{} is not allowed; true or false", named(value)))?;
        Ok(())
    }

    fn show(&self) -> Value {
        Value::Bool(*self)
    }
}

/// A whole number within a range.
pub struct Number<'a, T>(pub &'a mut T, pub RangeInclusive<u64>);

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Setting for Number<'_, T> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let number = value.as_u64().filter(|n| self.1.contains(n)).and_then(|n| T::try_from(n).ok());
        let (low, high) = (self.1.start(), self.1.end());
        *self.0 =
            number.ok_or_else(|| format!("{} is not allowed; a whole number from {low} to {high}", named(value)))?;
        Ok(())
    }

    fn show(&self) -> Value {
        (*self.0).try_into().map_or(Value::Null, Value::from)
    }
}

/// A duration within a range.
pub struct Span<'a>(pub &'a mut Duration, pub RangeInclusive<Duration>);

impl Setting for Span<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let duration = units::parse_duration(text(value, "a duration like \"30s\"")?)?;
        *self.0 = within(duration, &self.1, units::show_days)?;
        Ok(())
    }

    fn show(&self) -> Value {
        units::show_duration(*self.0).into()
    }
}

/// A duration that people count in days.
pub struct Days<'a>(pub Span<'a>);

impl Setting for Days<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        self.0.set(value)
    }

    fn show(&self) -> Value {
        units::show_days(*self.0.0).into()
    }
}

/// A duration within a range, or `""` for never.
pub struct MaybeSpan<'a>(pub &'a mut Option<Duration>, pub RangeInclusive<Duration>);

impl Setting for MaybeSpan<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let text = text(value, "a duration like \"72h\", or \"\" for never")?;
        *self.0 = match text {
            "" => None,
            text => Some(within(units::parse_duration(text)?, &self.1, units::show_days)?),
        };
        Ok(())
    }

    fn show(&self) -> Value {
        self.0.map_or_else(String::new, units::show_duration).into()
    }
}

/// A number of bytes within a range.
pub struct Size<'a>(pub &'a mut u64, pub RangeInclusive<u64>);

impl Setting for Size<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let size = units::parse_size(text(value, "a size like \"64MiB\"")?)?;
        *self.0 = within(size, &self.1, units::show_size)?;
        Ok(())
    }

    fn show(&self) -> Value {
        units::show_size(*self.0).into()
    }
}

/// A rate, or `""` for none.
pub struct MaybeRate<'a>(pub &'a mut Option<crate::domain::policy::Rate>);

impl Setting for MaybeRate<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self.0 = units::parse_rate(text(value, "a rate like \"10/s\", or \"\" for none")?)?;
        Ok(())
    }

    fn show(&self) -> Value {
        units::show_rate(*self.0).into()
    }
}

/// One of a few words.
pub struct Choice<'a, T: 'static>(pub &'a mut T, pub &'static [(&'static str, T)]);

impl<T: Copy + PartialEq> Setting for Choice<'_, T> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let chosen = self.1.iter().find(|(word, _)| value.as_str() == Some(word));
        let Some((_, chosen)) = chosen else {
            let words: Vec<String> = self.1.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            return Err(format!("{} is not allowed; one of {}", named(value), words.join(", ")));
        };
        *self.0 = *chosen;
        Ok(())
    }

    fn show(&self) -> Value {
        self.1.iter().find(|(_, choice)| choice == self.0).map_or(Value::Null, |(word, _)| (*word).into())
    }
}

/// How the text of one kind is made into a value, or refused.
pub type Parse<T> = fn(&str) -> Result<T, String>;

/// Anything written as one text.
pub struct Text<'a, T>(pub &'a mut T, pub Parse<T>);

impl<T: Display> Setting for Text<'_, T> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        *self.0 = (self.1)(text(value, "text in quotes")?)?;
        Ok(())
    }

    fn show(&self) -> Value {
        self.0.to_string().into()
    }
}

/// A list of texts.
pub struct List<'a, T>(pub &'a mut Vec<T>, pub Parse<T>);

impl<T: Display> Setting for List<'_, T> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let items = value.as_array().ok_or_else(|| format!("{} is not allowed; a list like [\"…\"]", named(value)))?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push((self.1)(text(item, "a list of texts in quotes")?)?);
        }
        *self.0 = list;
        Ok(())
    }

    fn show(&self) -> Value {
        self.0.iter().map(ToString::to_string).collect::<Vec<_>>().into()
    }

    fn takes_list(&self) -> bool {
        true
    }
}

/// A text that is never shown again.
pub struct Secret<'a>(pub &'a mut String);

impl Setting for Secret<'_> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        // The value itself stays out of the message: it would end in a log.
        let text = value.as_str().ok_or("must be text in quotes")?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("must not contain spaces, line breaks or control characters".to_owned());
        }
        text.clone_into(self.0);
        Ok(())
    }

    fn show(&self) -> Value {
        if self.0.is_empty() { "".into() } else { MASK.into() }
    }
}

fn text<'v>(value: &'v Value, allowed: &str) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| format!("{} is not allowed; {allowed}", named(value)))
}

fn within<T: PartialOrd + Copy>(value: T, range: &RangeInclusive<T>, show: fn(T) -> String) -> Result<T, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (show(*range.start()), show(*range.end()));
    Err(format!("\"{}\" is out of range; from \"{low}\" to \"{high}\"", show(value)))
}
