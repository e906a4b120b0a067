//! Random templates over NetBox-like data, the same for the same seed.

/// A small generator of numbers, so that a failure can be repeated anywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.roll(choices.len())]
    }
}

const TEXTS: &[&str] = &[
    "data.name",
    "data.display",
    "data.slug",
    "data.status.value",
    "data.status.label",
    "data.description",
    "event",
    "model",
    "username",
    "timestamp",
    "object_type",
    "request_id",
    "data.url",
    "odd.html",
    "odd.quotes",
    "odd.unicode",
    "odd.lines",
    "odd.empty",
    "odd.words",
    "data.site.name",
    "data.custom_fields.owner",
    "odd.number_text",
];
const NUMBERS: &[&str] = &[
    "data.id",
    "odd.int",
    "odd.negative",
    "odd.float",
    "odd.big",
    "odd.small",
    "odd.zero",
    "odd.half",
    "data.latitude",
    "odd.huge_float",
    "odd.tiny_float",
    "odd.flag",
    "data.site.id",
    "7",
    "3",
    "-2",
    "0",
    "1.5",
    "10",
    "2",
];
const LISTS: &[&str] = &[
    "data.tags",
    "odd.list",
    "odd.names",
    "odd.mixed",
    "odd.nested",
    "odd.empty_list",
    "odd.devices",
    "odd.numbers",
    "['b', 'a', 'C', 'a']",
    "[3, 1, 2]",
    "(1, 'x', none)",
    "odd.pairs",
    "range(4)",
    "[]",
];
const DICTS: &[&str] = &[
    "data",
    "data.status",
    "snapshots.postchange",
    "snapshots.prechange",
    "data.custom_fields",
    "odd.dict",
    "odd.empty_dict",
    "{'a': 1, 'b': [1, 2]}",
    "odd.order",
    "snapshots",
];
const ANYTHING: &[&str] = &[
    "none",
    "true",
    "false",
    "missing",
    "data.missing",
    "data.tenant",
    "data.tags[0]",
    "odd.null",
    "snapshots.prechange",
];
const STRING_LITERALS: &[&str] = &[
    "''", "'a'", "\"x y\"", "'Berlin'", "'<b>'", "\"it's\"", "'ü'", "'-'", "'a,b,c'", "', '", "'%s'", "'\\n'", "'\"'",
];
const TEXT_FILTERS: &[&str] = &[
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "e",
    "escape",
    "forceescape",
    "urlencode",
    "string",
    "striptags",
    "replace('a', 'b')",
    "replace(' ', '-', 1)",
    "truncate(8)",
    "truncate(10, true)",
    "truncate(6, false, '..', 0)",
    "center(20)",
    "indent(2)",
    "indent(2, true)",
    "indent(width=3, blank=true)",
    "default('x')",
    "d('none', true)",
    "header_safe",
    "reverse",
    "tojson",
    "trim('a')",
    "format('z')",
    "safe",
    "join('.')",
    "pprint",
];
const LIST_FILTERS: &[&str] = &[
    "list",
    "sort",
    "sort(reverse=true)",
    "unique|list",
    "map('string')|list",
    "map('upper')|list",
    "select|list",
    "reject('none')|list",
    "reverse|list",
    "batch(2)|list",
    "batch(2, 'x')|list",
    "slice(2)|list",
    "slice(2, 0)|list",
    "map(attribute='name')|list",
    "selectattr('id')|list",
    "selectattr('id', 'gt', 1)|list",
    "rejectattr('name', 'eq', 'a')|list",
    "map(attribute='name', default='?')|list",
    "sort(attribute='name')",
    "sort(attribute='role,id')",
    "groupby('role')",
    "groupby('role', default='none')",
    "unique(attribute='role')|list",
    "select('string')|list",
    "select('number')|list",
    "map('int')|list",
    "map('float')|list",
    "map('length')|list",
    "select('in', [1, 'a'])|list",
    "map('default', 'd')|list",
    "sort(case_sensitive=true)",
    "map(attribute='tags.0')|list",
    "map('tojson')|list",
    "map('round', 1)|list",
];
const NUMBER_FILTERS: &[&str] = &[
    "int",
    "float",
    "round",
    "round(1)",
    "round(2, 'floor')",
    "round(0, 'ceil')",
    "abs",
    "int(5)",
    "float(1.5)",
    "filesizeformat",
    "filesizeformat(true)",
    "round(-1)",
    "round(precision=3)",
    "string|int",
    "string|float",
];
const TESTS: &[&str] = &[
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "mapping",
    "sequence",
    "iterable",
    "boolean",
    "true",
    "false",
    "integer",
    "float",
    "odd",
    "even",
    "divisibleby 2",
    "divisibleby(3)",
    "eq 1",
    "lt(5)",
    "in [1, 'a', none]",
    "lower",
    "upper",
    "escaped",
    "sameas none",
    "equalto 'a'",
    "ne(2)",
    "callable",
    "filter",
    "test",
    "ge 0",
    "greaterthan 2",
];
const METHODS: &[&str] = &[
    "upper()",
    "lower()",
    "title()",
    "strip()",
    "split()",
    "split('-')",
    "split(' ', 1)",
    "rsplit('/', 1)",
    "replace('a', 'o')",
    "startswith('a')",
    "endswith(('1', 'n'))",
    "find('e')",
    "count('a')",
    "capitalize()",
    "swapcase()",
    "isdigit()",
    "lstrip('abc')",
    "rstrip()",
    "splitlines()",
    "zfill(9)",
    "center(12, '*')",
    "ljust(12)",
    "partition(' ')",
    "format(1)",
    "isupper()",
    "islower()",
    "isalpha()",
    "isalnum()",
    "join(['x', 'y'])",
    "rpartition('-')",
    "istitle()",
    "removeprefix('a')",
    "index('e')",
    "rjust(9, '0')",
    "isspace()",
    "rfind('e')",
    "splitlines(true)",
    "isnumeric()",
];
const FORMATS: &[&str] =
    &["'%s'", "'%d'", "'%05.1f'", "'%-8s|'", "'%x'", "'%r'", "'%5d%%'", "'%+d'", "'%e'", "'%g'", "'%.3s'"];
const BRACES: &[&str] =
    &["'{}'", "'{:>8}'", "'{:.2f}'", "'{!r}'", "'{0} {0}'", "'{:05d}'", "'{:,}'", "'{:<6}|'", "'{:x}'", "'{{}} {}'"];

/// One whole template.
pub fn template(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.roll(3) {
        statement(dice, 2, &mut text);
    }
    text
}

/// A template with one to three small damages.
pub fn damaged(dice: &mut Dice, template: &str) -> String {
    let mut chars: Vec<char> = template.chars().collect();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(chars.len().max(1));
        let symbols = [
            "{", "}", "%", "{{", "}}", "{%", "%}", "|", ".", "(", ")", "[", "]", "'", "\"", " ", "-", "~", ",", "=",
            ":", "1", "x", "not ", " if ", " is ", "*", "#}",
        ];
        match dice.roll(4) {
            0 if at < chars.len() => drop(chars.remove(at)),
            1 if at < chars.len() => chars.truncate(at),
            2 if at + 1 < chars.len() => chars.swap(at, at + 1),
            _ => drop(chars.splice(at..at, dice.pick(&symbols).chars())),
        }
    }
    chars.into_iter().collect()
}

fn statement(dice: &mut Dice, depth: usize, out: &mut String) {
    let kinds = if depth == 0 { 7 } else { 20 };
    match dice.roll(kinds) {
        0 => out.push_str(dice.pick(&[" a ", "\n", "{", "text\n  ", "\"k\": ", "}", "<b>", " ", "\n\n", "ü"])),
        1..=5 => {
            let value = anything(dice, 3);
            let (open, close) = (dice.pick(&["{{ ", "{{ ", "{{- ", "{{"]), dice.pick(&[" }}", " }}", " -}}", "}}"]));
            out.push_str(&format!("{open}{value}{close}"));
        }
        6 => out.push_str(dice.pick(&["{# note #}", "{#- note -#}", "{% raw %}{{ x }}{% endraw %}", "\n{#- x #}\n"])),
        7..=9 => condition(dice, depth, out),
        10..=13 => for_loop(dice, depth, out),
        14..=16 => assignment(dice, depth, out),
        17 => {
            out.push_str(&format!("{{% with w = {}, v = {} %}}{{{{ w }}}}-", anything(dice, 2), anything(dice, 1)));
            statement(dice, depth - 1, out);
            out.push_str("{% endwith %}");
        }
        18 => {
            out.push_str(&format!("{{% filter {} %}}", dice.pick(TEXT_FILTERS)));
            statement(dice, depth - 1, out);
            out.push_str("{% endfilter %}");
        }
        _ => macro_and_call(dice, depth, out),
    }
}

fn tag(dice: &mut Dice, inside: &str) -> String {
    let (open, close) = (dice.pick(&["{% ", "{% ", "{%- ", "{%", "{%+ "]), dice.pick(&[" %}", " %}", " -%}", "%}"]));
    format!("{open}{inside}{close}{}", dice.pick(&["", "", "\n", "  "]))
}

fn condition(dice: &mut Dice, depth: usize, out: &mut String) {
    let test = truth(dice, 2);
    out.push_str(&tag(dice, &format!("if {test}")));
    statement(dice, depth - 1, out);
    if dice.roll(3) == 0 {
        let test = truth(dice, 2);
        out.push_str(&tag(dice, &format!("elif {test}")));
        statement(dice, depth - 1, out);
    }
    if dice.roll(2) == 0 {
        out.push_str(&tag(dice, "else"));
        statement(dice, depth - 1, out);
    }
    out.push_str(&tag(dice, "endif"));
}

fn for_loop(dice: &mut Dice, depth: usize, out: &mut String) {
    let (targets, over) = match dice.roll(4) {
        0 => ("key, value", format!("{}.items()", dictionary(dice, 1))),
        1 => ("item", dictionary(dice, 1)),
        2 => ("key, value", format!("{}|dictsort", dictionary(dice, 1))),
        _ => ("item", list(dice, 2)),
    };
    let filter = if dice.roll(4) == 0 { format!(" if {}", truth(dice, 1)) } else { String::new() };
    out.push_str(&tag(dice, &format!("for {targets} in {over}{filter}")));
    out.push_str(dice.pick(&[
        "{{ loop.index }}",
        "{{ loop.index0 }}/{{ loop.length }}",
        "{{ item }}",
        "{{ key }}={{ value|tojson }}",
        "{{ item.name }}",
        "{{ ',' if not loop.last }}",
        "{{ loop.first }}{{ loop.last }}",
        "{{ loop.cycle('a', 'b') }}",
        "{{ loop.revindex }}",
        "{{ loop.previtem }}|{{ loop.nextitem }}",
        "{{ loop.changed(item) }}",
        "{{ loop.depth }}",
        "{{ item|string }}",
        "{{ key }}",
    ]));
    if dice.roll(2) == 0 {
        statement(dice, depth - 1, out);
    }
    if dice.roll(4) == 0 {
        out.push_str(&tag(dice, "else"));
        out.push_str("none");
    }
    out.push_str(&tag(dice, "endfor"));
}

fn assignment(dice: &mut Dice, depth: usize, out: &mut String) {
    match dice.roll(5) {
        0 => {
            let value = anything(dice, 2);
            out.push_str(&tag(dice, &format!("set x = {value}")));
            out.push_str("{{ x }}");
        }
        1 => {
            let filter = if dice.roll(2) == 0 { format!(" | {}", dice.pick(TEXT_FILTERS)) } else { String::new() };
            out.push_str(&format!("{{% set x{filter} %}}"));
            statement(dice, depth - 1, out);
            out.push_str("{% endset %}[{{ x }}]");
        }
        2 => {
            let value = number(dice, 1);
            let over = list(dice, 1);
            out.push_str(&format!(
                "{{% set ns = namespace(n=0) %}}{{% for i in {over} %}}{{% set ns.n = ns.n + {value} %}}{{% endfor %}}{{{{ ns.n }}}}"
            ));
        }
        3 => {
            let value = anything(dice, 1);
            out.push_str(&format!(
                "{{% set l = [] %}}{{% for i in range(2) %}}{{% set _ = l.append({value}) %}}{{% endfor %}}{{{{ l }}}}{{{{ l|length }}}}"
            ));
        }
        _ => {
            let (a, b) = (anything(dice, 1), anything(dice, 1));
            out.push_str(&format!("{{% set a, b = {a}, {b} %}}{{{{ b }}}}{{{{ a }}}}"));
        }
    }
}

fn macro_and_call(dice: &mut Dice, depth: usize, out: &mut String) {
    let default = anything(dice, 1);
    let (first, second) = (anything(dice, 1), anything(dice, 1));
    out.push_str(&format!("{{% macro m(a, b={default}) %}}({{{{ a }}}}:{{{{ b }}}}"));
    statement(dice, depth - 1, out);
    out.push_str("){% endmacro %}");
    out.push_str(&match dice.roll(4) {
        0 => format!("{{{{ m({first}) }}}}"),
        1 => format!("{{{{ m({first}, {second}) }}}}"),
        2 => format!("{{{{ m(b={second}, a={first}) }}}}"),
        _ => format!("{{{{ m() ~ {first} }}}}"),
    });
}

/// An expression of any type.
fn anything(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 5 } else { 13 }) {
        0 => text(dice, depth),
        1 => number(dice, depth),
        2 => list(dice, depth),
        3 => dictionary(dice, depth),
        4 => dice.pick(ANYTHING).to_owned(),
        5 | 6 => text(dice, depth),
        7 => number(dice, depth),
        8 => truth(dice, depth),
        9 => format!(
            "{}|{}",
            anything(dice, depth - 1),
            dice.pick(&[
                "tojson",
                "default('d')",
                "length",
                "first",
                "last",
                "string",
                "list",
                "tojson(indent=2)",
                "e",
                "pprint",
                "items|list",
                "min",
                "max",
                "sum",
                "count",
                "wordcount",
                "urlencode",
                "join(',')"
            ])
        ),
        10 => {
            format!("({} if {} else {})", anything(dice, depth - 1), truth(dice, depth - 1), anything(dice, depth - 1))
        }
        11 => format!(
            "{}{}",
            operand(list(dice, depth - 1)),
            dice.pick(&["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "[9]", "['x']", ".0"])
        ),
        _ => format!(
            "{} {} {}",
            operand(anything(dice, depth - 1)),
            dice.pick(&["or", "and", "~", "+", "*"]),
            operand(anything(dice, depth - 1))
        ),
    }
}

/// With parentheses, unless it is a plain name or literal.
fn operand(expression: String) -> String {
    let plain = expression.chars().all(|c| c.is_alphanumeric() || "._'".contains(c));
    if plain { expression } else { format!("({expression})") }
}

fn text(dice: &mut Dice, depth: usize) -> String {
    let kinds = if depth == 0 { 2 } else { 10 };
    match dice.roll(kinds) {
        0 => dice.pick(TEXTS).to_owned(),
        1 => dice.pick(STRING_LITERALS).to_owned(),
        2 | 3 => format!("{}|{}", operand(text(dice, depth - 1)), dice.pick(TEXT_FILTERS)),
        4 => format!("{} ~ {}", text(dice, depth - 1), operand(anything(dice, depth - 1))),
        5 | 6 => format!("{}.{}", operand(text(dice, depth - 1)), dice.pick(METHODS)),
        7 => format!("{} % {}", dice.pick(FORMATS), operand(anything(dice, depth - 1))),
        8 => format!("{}.format({})", dice.pick(BRACES), anything(dice, depth - 1)),
        _ => format!(
            "{}[{}]",
            operand(text(dice, depth - 1)),
            dice.pick(&["0", "-1", "2:", ":5", "::-1", "1:-1", "99", "-3:"])
        ),
    }
}

fn number(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 1 } else { 7 }) {
        0 => dice.pick(NUMBERS).to_owned(),
        1..=3 => {
            let operator = dice.pick(&["+", "-", "*", "/", "//", "%", "**"]);
            if operator == "**" {
                // Powers of powers would keep Python busy for hours.
                return format!("{} ** {}", dice.pick(NUMBERS), dice.pick(&["2", "3", "0", "-1", "0.5", "7"]));
            }
            format!("{} {operator} {}", operand(number(dice, depth - 1)), operand(number(dice, depth - 1)))
        }
        4 => format!("{}|{}", operand(number(dice, depth - 1)), dice.pick(NUMBER_FILTERS)),
        5 => format!("{}|length", operand(list(dice, depth - 1))),
        _ => format!("-{}", operand(number(dice, depth - 1))),
    }
}

fn list(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 1 } else { 7 }) {
        0 | 1 => dice.pick(LISTS).to_owned(),
        2 | 3 => format!("{}|{}", operand(list(dice, depth - 1)), dice.pick(LIST_FILTERS)),
        4 => format!("[{}, {}]", anything(dice, depth - 1), anything(dice, depth - 1)),
        5 => format!("{} + {}", operand(list(dice, depth - 1)), operand(list(dice, depth - 1))),
        _ => format!(
            "{}.{}",
            operand(dictionary(dice, depth - 1)),
            dice.pick(&["keys()", "values()|list", "items()|list", "keys()|list", "items()"])
        ),
    }
}

fn dictionary(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 1 } else { 6 }) {
        0..=3 => dice.pick(DICTS).to_owned(),
        4 => format!("{{'k': {}, {}: 2}}", anything(dice, depth - 1), dice.pick(&["'b'", "1", "none", "data.name"])),
        _ => format!("dict({}, z={})", dictionary(dice, depth - 1), anything(dice, depth - 1)),
    }
}

fn truth(dice: &mut Dice, depth: usize) -> String {
    match dice.roll(if depth == 0 { 3 } else { 9 }) {
        0 => dice.pick(&["true", "false", "data.tenant", "missing", "data.tags", "odd.flag", "odd.empty"]).to_owned(),
        1 | 2 => format!(
            "{} is {}",
            dice.pick(&["data.id", "missing", "data.name", "odd.null", "data.tags", "odd.dict", "7"]),
            dice.pick(TESTS)
        ),
        3 => format!("{} is not {}", operand(anything(dice, depth - 1)), dice.pick(TESTS)),
        4 => format!(
            "{} {} {}",
            operand(number(dice, depth - 1)),
            dice.pick(&["<", ">", "<=", ">=", "==", "!="]),
            operand(number(dice, depth - 1))
        ),
        5 => format!(
            "{} {} {}",
            operand(anything(dice, depth - 1)),
            dice.pick(&["==", "!=", "in", "not in", "<"]),
            operand(anything(dice, depth - 1))
        ),
        6 => format!("not {}", truth(dice, depth - 1)),
        7 => format!("{} {} {}", truth(dice, depth - 1), dice.pick(&["and", "or"]), truth(dice, depth - 1)),
        _ => format!("{} in {}", dice.pick(&["'a'", "1", "'name'", "none"]), operand(list(dice, depth - 1))),
    }
}
