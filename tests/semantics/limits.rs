//! Templates that want too much, and what is said about wrong ones.

use netbox_webhookd::render::template::{Context, Limits, Template, TemplateError, header_safe};

fn context() -> Context {
    Context::from_json(r#"{"data": {"name": "Berlin", "tags": ["a"], "tenant": null}, "event": "created"}"#)
        .expect("an object")
}

fn render(text: &str) -> Result<String, TemplateError> {
    Template::parse(text)?.render(&context())
}

/// On the stack that the threads of a blocking pool have.
fn render_on_a_small_stack(text: String) -> Result<String, TemplateError> {
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(move || render(&text)).expect("a thread");
    thread.join().expect("the stack suffices")
}

#[test]
fn work_without_end_runs_out_of_fuel() {
    let endless = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s|length }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s='xx') %}{% for i in range(100) %}{% set ns.s = ns.s.replace('x', 'xx') %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = ns.l + ns.l %}{% endfor %}",
        "{% set l = range(3000)|list %}{% for i in l %}{{ l == l }}{% endfor %}",
        "{{ range(100000)|unique|list|length }}",
    ];
    for text in endless {
        let result = render(text);
        assert_eq!(result, Err(TemplateError::TooMuchWork { fuel: 1_000_000 }), "{text}");
    }
}

#[test]
fn containers_within_containers_stay_small_or_run_out() {
    let nested = "{% set ns = namespace(l=[1]) %}{% for i in range(50000) %}{% set ns.l = [ns.l] %}{% endfor %}";
    let doubled = "{% set ns = namespace(l=[1]) %}{% for i in range(50) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}";
    let cyclic = "{% set l = [] %}{% set _ = l.append(l) %}{{ l }}";
    let longer = "{% set a = [] %}{% set b = [a] %}{% set _ = a.append(b) %}{{ a }}";
    let keys = "{% set ns = namespace(d={}) %}{% for i in range(50000) %}{% set ns.d = {'k': ns.d} %}{% endfor %}";
    for text in [nested, cyclic, longer, keys] {
        assert!(matches!(render_on_a_small_stack(text.to_owned()), Err(TemplateError::Render { .. })), "{text}");
    }
    for use_of in
        ["{{ ns.l == [ns.l][0] }}", "{{ ns.l|tojson|length }}", "{{ ns.l|string|length }}", "{{ ns.l|pprint|length }}"]
    {
        let result = render_on_a_small_stack(format!("{doubled}{use_of}"));
        assert!(result.is_err() || use_of.contains("=="), "{use_of} {result:?}");
    }
}

#[test]
fn macros_and_loops_without_end_are_too_deep() {
    let own = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    let turns = "{% macro f(g) %}{{ g(g) }}{% endmacro %}{{ f(f) }}";
    let looped = "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}";
    for text in [own, turns, looped] {
        assert_eq!(render_on_a_small_stack(text.to_owned()), Err(TemplateError::TooDeep), "{text}");
    }
}

#[test]
fn texts_nested_or_chained_beyond_measure_are_refused() {
    let refused = [
        format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)),
        format!("{{{{ 1{} }}}}", " + 1".repeat(50_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(50_000)),
        format!("{{{{ a{} }}}}", "|upper".repeat(50_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(50_000)),
        format!("{{{{ {}1 }}}}", "not ".repeat(50_000)),
        format!("{{{{ 1{} }}}}", " and 1".repeat(50_000)),
        format!("{}{}", "{% if a %}".repeat(5000), "{% endif %}".repeat(5000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}x".repeat(50_000)),
        format!("{{{{ {} }}}}", "[".repeat(50_000)),
        format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(50_000)),
    ];
    for text in refused {
        let shown = text.chars().take(40).collect::<String>();
        let result = render_on_a_small_stack(text);
        assert!(matches!(result, Err(TemplateError::Syntax { .. })), "{shown}: {result:?}");
    }
}

#[test]
fn texts_as_long_as_allowed_fit_the_stack() {
    let allowed = [
        format!("{{{{ 1{} }}}}", " + 1".repeat(240)),
        format!("{{{{ 1{} }}}}", " and 1".repeat(240)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}x".repeat(240)),
        format!("{{{{ ''{} }}}}", "|upper".repeat(240)),
    ];
    for text in allowed {
        assert!(render_on_a_small_stack(text).is_ok());
    }
}

#[test]
fn output_is_cut_off_by_its_limit() {
    let limits = Limits { output: 100, ..Limits::default() };
    let within = |text: &str| Template::parse(text).expect("a template").render_within(&context(), limits);
    assert_eq!(within("{{ 'x' * 100 }}").map(|text| text.len()), Ok(100));
    assert_eq!(within("{{ 'x' * 101 }}"), Err(TemplateError::TooLong { limit: 100 }));
    assert_eq!(within(&"x".repeat(101)), Err(TemplateError::TooLong { limit: 100 }));
}

#[test]
fn widths_are_bounded() {
    for text in [
        "{{ '%999999999d' % 1 }}",
        "{{ '{:999999999}'.format(1) }}",
        "{{ 'x'|center(999999999) }}",
        "{{ '%*d' % (999999999, 1) }}",
    ] {
        assert!(matches!(render(text), Err(TemplateError::Render { .. })), "{text}");
    }
}

#[test]
fn errors_name_the_line_and_the_reason() {
    let cases = [
        ("a\n{{ b c }}", "line 2: expected \"}}\", found \"c\""),
        ("\n\n{% nope %}", "line 3: unknown or misplaced tag \"nope\""),
        ("{% if a %}\n", "line 1: \"if\" is not closed, \"endif\" is missing"),
        ("{% include 'x' %}", "line 1: \"include\" needs other templates, which a webhook does not have"),
        ("{{ a|nope }}", "line 1: there is no filter \"nope\""),
        ("{{ a|env }}", "line 1: there is no filter \"env\""),
        ("a\r\n{#-\n-#}\r\n{{ data.x.y }}", "line 4: `data.x` is undefined"),
        ("{{\n 1 }}\n{{ 1 + 'a' }}", "line 3: + does not work with 'int' and 'str'"),
    ];
    for (text, error) in cases {
        assert_eq!(render(text).map_err(|error| error.to_string()), Err(error.to_owned()), "{text:?}");
    }
}

#[test]
fn a_literal_is_told_from_a_template() {
    for (text, literal) in
        [("plain { text } %}\n", true), ("", true), ("{{ a }}", false), ("{% raw %}x{% endraw %}", false)]
    {
        assert_eq!(Template::parse(text).expect("a template").is_literal(), literal, "{text}");
    }
    assert_eq!(render("a\r\nb\n"), Ok("a\nb".to_owned()));
}

#[test]
fn header_safe_takes_control_characters_out() {
    assert_eq!(header_safe("a\r\nb\x7fü"), "abü");
    assert_eq!(render("{{ 'a\\nb'|header_safe }}").as_deref(), Ok("ab"));
}
