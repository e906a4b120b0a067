//! The classes whose JSON form is known, and what stands for them.
//!
//! # Source
//! `rest_framework/utils/encoders.py` and `relations.py` (3.14 to 3.16), `django/utils/functional.py` and `safestring.py`
//! (4.1 to 5.2), and what each class of the standard library pickles itself as.

use std::borrow::Cow;

use super::error::Name;
use super::pickle::{Global, Object, Pair, Pickle, Value, find};
use super::{python, times};

/// What an object is in JSON.
pub(super) enum Meaning<'p, 'a> {
    Text(Cow<'a, str>),
    Float(f64),
    /// As another value.
    Same(Value<'a>),
    Pairs(&'p [Pair<'a>]),
    /// Nothing that is known.
    Unknown,
    /// A known class with something in it that has no JSON form.
    Impossible(&'static str),
}

pub(super) fn meaning<'p, 'a>(pickle: &'p Pickle<'a>, object: &'p Object<'a>) -> Meaning<'p, 'a> {
    let Some(Global { module, name }) = pickle.class(object) else { return Meaning::Unknown };
    let args = pickle.tuple(object.args).unwrap_or_default();
    let plain = object.pairs.is_empty() && object.items.is_empty() && object.kwargs.is_none();
    match (module, name, args) {
        // Both are subclasses of str, made of the text and, for the link, the name of what it leads to.
        ("rest_framework.relations", "Hyperlink", [url, ..]) if plain => text(*url),
        ("django.utils.safestring", "SafeString" | "SafeText", [content]) if plain => text(*content),
        ("decimal", "Decimal", [Value::Str(digits)]) if plain => decimal(digits),
        ("uuid", "UUID", []) if plain => uuid(pickle, object).map_or(Meaning::Unknown, |id| Meaning::Text(id.into())),
        ("django.utils.functional", "_lazy_proxy_unpickle", [function, args, ..]) if plain => {
            lazy_text(pickle, *function, *args)
        }
        // REST framework's ReturnDict and ReturnList pickle themselves as these calls. Before protocol 3 the module has
        // the name it had in Python 2.
        ("builtins" | "__builtin__", "dict", [only]) if plain && pickle.dict(*only).is_some() => Meaning::Same(*only),
        ("builtins" | "__builtin__", "list" | "tuple" | "set" | "frozenset", [only])
            if plain && pickle.list(*only).is_some() =>
        {
            Meaning::Same(*only)
        }
        ("collections", "OrderedDict", []) if object.items.is_empty() => Meaning::Pairs(&object.pairs),
        ("collections", "defaultdict", [_]) if object.items.is_empty() => Meaning::Pairs(&object.pairs),
        ("datetime", _, _) if plain => moment(pickle, name, args),
        _ => Meaning::Unknown,
    }
}

/// Whether it is of a subclass of str, which may be the name of a member.
pub(super) fn is_str<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> bool {
    pickle.class(object).is_some_and(|class| {
        matches!(
            (class.module, class.name),
            ("rest_framework.relations", "Hyperlink") | ("django.utils.safestring", "SafeString" | "SafeText")
        )
    })
}

fn text(value: Value<'_>) -> Meaning<'_, '_> {
    match value {
        Value::Str(text) => Meaning::Text(text.into()),
        _ => Meaning::Unknown,
    }
}

fn decimal<'a>(digits: &str) -> Meaning<'a, 'a> {
    match digits.parse() {
        Ok(number) => Meaning::Float(number),
        Err(_) => Meaning::Impossible("a decimal number is not one"),
    }
}

/// A text to be translated where it is written. NetBox's worker runs in English, the language its texts are in.
fn lazy_text<'p, 'a>(pickle: &'p Pickle<'a>, function: Value<'a>, args: Value<'a>) -> Meaning<'p, 'a> {
    let (Some(Global { module, name }), Some(args)) = (pickle.global(function), pickle.tuple(args)) else {
        return Meaning::Unknown;
    };
    let message = match (module, name, args) {
        ("django.utils.translation", "gettext", [Value::Str(message)]) => message,
        ("django.utils.translation", "pgettext", [_, Value::Str(message)]) => message,
        ("builtins", "str", [Value::Str(text)]) => return Meaning::Text((*text).into()),
        _ => return Meaning::Unknown,
    };
    // gettext makes line ends one kind before it looks a message up.
    if message.contains('\r') {
        return Meaning::Text(message.replace("\r\n", "\n").replace('\r', "\n").into());
    }
    Meaning::Text((*message).into())
}

/// `uuid.UUID` keeps its number as the one entry of its state.
pub(super) fn uuid<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> Option<String> {
    let number = match find(pickle.dict(object.state)?, "int")? {
        Value::Int(small) => u128::try_from(small).ok()?,
        Value::Long(bytes) => {
            let (low, high) = bytes.split_at(bytes.len().min(16));
            let mut wide = [0; 16];
            wide[..low.len()].copy_from_slice(low);
            let negative = bytes.len() <= 16 && low.last().is_some_and(|last| last & 0x80 != 0);
            if negative || high.iter().any(|byte| *byte != 0) {
                return None;
            }
            u128::from_le_bytes(wide)
        }
        _ => return None,
    };
    Some(uuid::Uuid::from_u128(number).to_string())
}

fn moment<'p, 'a>(pickle: &'p Pickle<'a>, name: &str, args: &[Value<'a>]) -> Meaning<'p, 'a> {
    let written = match (name, args) {
        ("date", [packed]) => bytes(pickle, *packed).and_then(|bytes| times::date(&bytes)),
        ("time", [packed]) => bytes(pickle, *packed).and_then(|bytes| times::time(&bytes)),
        ("time", [_, _]) => return Meaning::Impossible("a time of day with a zone"),
        ("datetime", [packed]) => bytes(pickle, *packed).and_then(|bytes| times::datetime(&bytes, None)),
        ("datetime", [packed, zone]) => {
            let Some(offset) = offset(pickle, *zone) else { return Meaning::Unknown };
            bytes(pickle, *packed).and_then(|bytes| times::datetime(&bytes, Some(offset)))
        }
        ("timedelta", [Value::Int(days), Value::Int(seconds), Value::Int(micros)]) => {
            times::seconds(*days, *seconds, *micros).and_then(python::float)
        }
        _ => return Meaning::Unknown,
    };
    written.map_or(Meaning::Impossible("a date or time out of range"), |text| Meaning::Text(text.into()))
}

/// Bytes as such or, before protocol 3, as a text of their numbers to be encoded.
fn bytes<'a>(pickle: &Pickle<'a>, value: Value<'a>) -> Option<Cow<'a, [u8]>> {
    if let Value::Bytes(bytes) = value {
        return Some(bytes.into());
    }
    let object = pickle.object(value)?;
    match (pickle.class(object)?, pickle.tuple(object.args)?) {
        (Global { module: "_codecs", name: "encode" }, [Value::Str(text), Value::Str("latin1")]) => {
            text.chars().map(|c| u8::try_from(c).ok()).collect()
        }
        _ => None,
    }
}

/// Of `datetime.timezone`, or of UTC by the names others have for it. Other zones would need the zone database NetBox
/// has at hand.
fn offset<'a>(pickle: &Pickle<'a>, zone: Value<'a>) -> Option<i64> {
    let zone = pickle.object(zone)?;
    let args = pickle.tuple(zone.args)?;
    match (pickle.class(zone)?, args) {
        (Global { module: "datetime", name: "timezone" }, [span, ..]) => {
            let span = pickle.object(*span)?;
            let is_span = pickle.class(span).is_some_and(|c| (c.module, c.name) == ("datetime", "timedelta"));
            let [days, seconds, micros] = *pickle.tuple(span.args)? else { return None };
            if is_span { times::span(days.as_int()?, seconds.as_int()?, micros.as_int()?) } else { None }
        }
        (Global { module: "pytz", name: "_UTC" }, []) => Some(0),
        _ => None,
    }
}

/// The name of what the object is of, for messages.
pub(super) fn name<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> Name {
    let first = || pickle.tuple(object.args).and_then(<[_]>::first).copied();
    match class_or_start(pickle, object) {
        // The function a text waits for says more than the wrapper.
        Some(Global { module: "django.utils.functional", name: "_lazy_proxy_unpickle" }) => {
            first().and_then(|function| pickle.global(function)).map_or_else(|| Name::new(""), of)
        }
        Some(class @ Global { module: "django.db.models.base", .. }) => match model(pickle, object) {
            Some((app, class)) => Name::of_class(app, class),
            None => of(class),
        },
        // A moment is refused for its zone.
        Some(class @ Global { module: "datetime", name: "datetime" }) => {
            let zone = pickle.tuple(object.args).and_then(|args| pickle.object(*args.get(1)?));
            of(zone.and_then(|zone| class_or_start(pickle, zone)).unwrap_or(class))
        }
        Some(class) => of(class),
        None => Name::new(""),
    }
}

/// What the object is made by; where that is found by a path (`getattr(ZoneInfo, "_unpickle")`), what the path starts
/// from.
fn class_or_start<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> Option<Global<'a>> {
    pickle.class(object).or_else(|| {
        let path = pickle.object(object.callable)?;
        pickle.global(*pickle.tuple(path.args)?.first()?)
    })
}

fn of(class: Global<'_>) -> Name {
    Name::of_class(class.module, class.name)
}

/// The app label and the class name of a model's instance.
pub(super) fn model<'a>(pickle: &Pickle<'a>, object: &Object<'a>) -> Option<(&'a str, &'a str)> {
    let class = pickle.class(object)?;
    if (class.module, class.name) != ("django.db.models.base", "model_unpickle") {
        return None;
    }
    match pickle.tuple(*pickle.tuple(object.args)?.first()?)? {
        [app, class] => Some((app.as_str()?, class.as_str()?)),
        _ => None,
    }
}
