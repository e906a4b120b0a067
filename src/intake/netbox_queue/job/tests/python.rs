use super::super::python::{float, integer, push_text};
use super::super::times;

#[test]
fn floats_are_laid_out_as_python_does() {
    for (number, expected) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (100.0, "100.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (5e-324, "5e-324"),
    ] {
        assert_eq!(float(number).as_deref(), Some(expected));
    }
    assert_eq!([f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(float), [None, None, None]);
}

#[test]
fn integers_of_any_length() {
    for (bytes, expected) in [
        (&b""[..], "0"),
        (b"\xff", "-1"),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00\x01", "18446744073709551616"),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00\xff", "-18446744073709551616"),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "-1"),
        (b"\x00\xca\x9a\x3b\x00\x00\x00\x00\x00", "1000000000"),
    ] {
        assert_eq!(integer(bytes).as_deref(), Some(expected), "{bytes:?}");
    }
    assert_eq!(integer(&[0x7f; 1_787]), None);
    assert_eq!(integer(&[0x7f; 1_786]), None);
}

#[test]
fn texts_are_ascii() {
    let mut out = String::new();
    push_text(&mut out, "a\"\\\u{8}\u{c}\n\r\t\u{0}\u{7f}é\u{1f600}");
    assert_eq!(out, r#""a\"\\\b\f\n\r\t\u0000\u007f\u00e9\ud83d\ude00""#);
}

#[test]
fn dates_out_of_range_are_none() {
    assert_eq!(times::date(b"\x07\xea\x0d\x01"), None);
    assert_eq!(times::date(b"\x07\xea\x0c"), None);
    assert_eq!(times::time(b"\x18\x00\x00\x00\x00\x00"), None);
    assert_eq!(times::time(b"\x17\x3b\x3b\x0f\x42\x40"), None);
    assert_eq!(times::datetime(b"\x07\xea\x0b\x17\x01\x02\x03\x00\x00\x00", Some(86_400_000_000)), None);
    assert_eq!(times::datetime(b"\x07", None), None);
}
