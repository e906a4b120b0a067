"""What NetBox 4.7 makes of a condition, told again in plain functions.

Written from NetBox's observable rules as the other side of tests/differential.rs. Reads one JSON object a line,
{"definition", "data", "snapshots"}, or {"pattern", "text"}, and answers each with one word:
match, no_match, invalid or refused (or crash, for a pattern Python itself stumbles over).
"""

import json
import re
import sys
import warnings

# What a definition's value may be, by operator. Booleans are not integers here.
NUMBER = (int, float)
TAKES = {
    "eq": (str, bool, int, float, list, type(None)),
    "contains": (str, bool, int, float, list),
    "regex": (str,),
    "in": (list,),
    "gt": NUMBER,
    "gte": NUMBER,
    "lt": NUMBER,
    "lte": NUMBER,
}
ABSENT = object()


class Refused(Exception):
    """The definition is not valid, or makes NetBox fail."""


class Invalid(Exception):
    """The definition cannot be evaluated for this event."""


class Keyless(Exception):
    """A path wants a key of something that has none."""


def descend(value, path, empty_list_proves_nothing):
    """Follow a path; ABSENT when it leads nowhere."""
    for key in path:
        if isinstance(value, list):
            if empty_list_proves_nothing and len(value) == 0:
                return ABSENT
            gathered = []
            for element in value:
                element = descend_one(element, key)
                if element is ABSENT:
                    return ABSENT
                gathered.append(element)
            value = gathered
        else:
            value = descend_one(value, key)
            if value is ABSENT:
                return ABSENT
    return value


def descend_one(value, key):
    if value is None:
        return ABSENT
    if not isinstance(value, dict):
        raise Keyless(key)
    return value.get(key, ABSENT)


def check_condition(rule):
    if not isinstance(rule, dict) or set(rule) - {"attr", "value", "op", "negate"} or "attr" not in rule:
        raise Refused
    if type(rule["attr"]) is not str:
        raise Refused
    operator = rule.get("op", "eq")
    if operator in ("changed", "unchanged"):
        if "value" in rule or rule["attr"].startswith("snapshots."):
            raise Refused
        return
    if type(operator) is not str or operator not in TAKES or "value" not in rule:
        raise Refused
    if type(rule["value"]) not in TAKES[operator]:
        raise Refused
    if operator == "regex":
        compiled(rule["value"])


def compiled(pattern):
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        raise Refused from None


def is_set(rule):
    return isinstance(rule, dict) and list(rule) in (["and"], ["or"])


def check(definition, outermost=True):
    if is_set(definition):
        (rules,) = definition.values()
        if not isinstance(rules, list):
            raise Refused
        for rule in rules:
            check(rule, False)
    else:
        check_condition(definition)


def holds(definition, event):
    if is_set(definition):
        (logic,) = definition
        decisive = logic == "or"
        for rule in definition[logic]:
            if holds(rule, event) == decisive:
                return decisive
        return not decisive
    return condition_holds(definition, event)


def condition_holds(rule, event):
    negate = bool(rule.get("negate", False))
    operator = rule.get("op", "eq")
    if operator in ("changed", "unchanged"):
        return (snapshots_equal(rule, event) == (operator == "unchanged")) != negate
    path = rule["attr"].split(".")
    if event["payload"] is ABSENT and path[0] != "snapshots":
        return False
    if reads_absent_snapshot(path, event):
        try:
            outcome = compare(operator, None, rule["value"])
        except TypeError:
            outcome = False
        return outcome != negate
    visible = {} if event["payload"] is ABSENT else dict(event["payload"])
    visible["snapshots"] = event["snapshots"]
    try:
        found = descend(visible, path, False)
    except Keyless:
        raise Invalid from None
    if found is ABSENT:
        raise Invalid
    try:
        outcome = compare(operator, found, rule["value"])
    except TypeError:
        raise Invalid from None
    return outcome != negate


def compare(operator, found, wanted):
    if operator == "eq":
        return found == wanted
    if operator == "gt":
        return found > wanted
    if operator == "gte":
        return found >= wanted
    if operator == "lt":
        return found < wanted
    if operator == "lte":
        return found <= wanted
    if operator == "in":
        return found in wanted
    if operator == "contains":
        return wanted in found
    return bool(re.match(wanted, found))


def reads_absent_snapshot(path, event):
    sides = {"prechange": "postchange", "postchange": "prechange"}
    snapshots = event["snapshots"]
    if len(path) < 2 or path[0] != "snapshots" or path[1] not in sides or not isinstance(snapshots, dict):
        return False
    if snapshots.get(path[1], ABSENT) is not None:
        return False
    opposite = snapshots.get(sides[path[1]])
    rest = path[2:]
    if opposite is None or rest in ([], [""]):
        return True
    try:
        return descend(opposite, rest, True) is not ABSENT
    except Keyless:
        return False


def snapshots_equal(rule, event):
    snapshots = event["snapshots"]
    if not isinstance(snapshots, dict):
        raise Invalid
    sides = []
    for which in ("prechange", "postchange"):
        side = ABSENT
        if snapshots.get(which) is not None:
            try:
                side = descend(snapshots[which], rule["attr"].split("."), True)
            except Keyless:
                pass
        sides.append(side)
    before, after = sides
    if before is ABSENT and after is ABSENT:
        raise Invalid
    if before is ABSENT or after is ABSENT:
        return False
    return before == after


def answer(case):
    try:
        if "pattern" in case:
            try:
                return "match" if compiled(case["pattern"]).match(case["text"]) else "no_match"
            except SystemError:
                # Python's own bug with groups in possessive repeats: there is no answer to compare with.
                return "crash"
        definition = case["definition"]
        if definition in (None, {}, []):
            return "match"
        check(definition)
        data = case["data"]
        event = {"payload": data if isinstance(data, dict) else ABSENT, "snapshots": case["snapshots"]}
        return "match" if holds(definition, event) else "no_match"
    except Refused:
        return "refused"
    except Invalid:
        return "invalid"


def main():
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        print(answer(json.loads(line)), flush=False)


main()
