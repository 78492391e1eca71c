# SPDX-License-Identifier: Apache-2.0
"""Generates chat templates and conversations, and what transformers' jinja2 environment renders from them.

    python3 tests/data/make/jinja.py --rows 300 --seed 1 > tests/data/text/jinja/rows.jsonl
    python3 tests/data/make/jinja.py --rows 12000 --seed 2 --driver PROGRAM    compares a driver with jinja2 instead

A row: {"template", "variables", and "text" with "generations" (ranges of bytes), or "error" (the exception's class) and,
from raise_exception, "raised"}. A driver reads rows from its first argument and writes one such result per line to its
second. The clock of strftime_now stands at 2025-07-04 00:00:00.
Needs transformers and jinja2 3.1.6.
"""
import argparse
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers.utils import chat_template_utils  # noqa: E402


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2025, 7, 4)


chat_template_utils.datetime = FixedClock

WORDS = ["Hello", "world", "naïve", "日本語", "ß", "ǅ", "😀", "İstanbul", "ΣΑΣ", "<b>", "a&b", "it's", '"q"', "tab\there",
         "two\nlines", "  spaced  ", "x" * 12, "<|im_end|>", "{{ x }}", "3", "-7", "2.5", "é", "\u00a0nb", "", "A-b c(d",
         "<think>\nhm\n</think>\n\nyes", "1_000", "0x1f", "inf", "line\r\nend", "\x1cfs", "a,b,,c", "user", "ﬁn", "\\n"]

# arguments of filters
ROUND = ["", "1", "2", "0, 'floor'", "1, 'ceil'", "-1"]
JSON = ["", "(indent=2)", "(sort_keys=true)", "(ensure_ascii=true)", "(separators=(',', ':'))", "(indent=1, sort_keys=true)"]
TRUNCATE = ["3", "8", "5, true", "6, false, ''", "4, leeway=0"]
SORT = ["", "(reverse=true)", "(attribute='role')", "(case_sensitive=true)"]
MAP = ["attribute='role'", "'upper'", "'trim'", "attribute='content', default='?'", "'length'", "'string'", "'nofilter'"]
DICTSORT = ["", "(by='value')", "(true)", "(reverse=true)"]
SMALL = ["0", "1", "2", "-1", "n"]
AFFIXES = "('a', 'H')"


def words(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.choice([0, 1, 1, 2, 3])))


def nested(rng, depth=0):
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 2:
        return words(rng)
    if kind == 2:
        return rng.choice([0, 1, -1, 7, 100, 2**40, -5])
    if kind == 3:
        return rng.choice([0.0, 1.5, -2.25, 1e20, 1e-7, 3.0, 0.1])
    if kind == 4:
        return rng.choice([True, False, None])
    if kind == 5:
        return rng.choice([[], {}, ""])
    if kind == 6:
        return [nested(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["a", "b", "type", "text", "é", "items", "name"]): nested(rng, depth + 1)
            for _ in range(rng.randrange(4))}


def tool(rng):
    properties = {name: {"type": rng.choice(["string", "integer", ["string", "null"]]), "description": words(rng)}
                  for name in rng.sample(["city", "unit", "n", "ключ"], rng.randrange(1, 4))}
    return {"type": "function", "function": {"name": rng.choice(["get_weather", "add"]), "description": words(rng),
            "parameters": {"type": "object", "properties": properties, "required": list(properties)[:1]}}}


def message(rng, role):
    out = {"role": role, "content": words(rng)}
    if role == "assistant" and rng.random() < 0.3:
        out["tool_calls"] = [{"id": "c1", "type": "function",
                              "function": {"name": "add", "arguments": {"city": words(rng), "n": nested(rng, 2)}}}]
        out["content"] = rng.choice([None, "", words(rng)])
    if role == "assistant" and rng.random() < 0.2:
        out["reasoning_content"] = words(rng)
    if rng.random() < 0.1:
        out["content"] = [{"type": "text", "text": words(rng)} for _ in range(rng.randrange(3))]
    return out


def variables(rng):
    roles = (["system"] if rng.random() < 0.5 else []) + ["user", "assistant", "tool"] * rng.randrange(1, 3)
    return {"messages": [message(rng, role) for role in roles[:rng.randrange(1, 7)]],
            "tools": rng.choice([None, [tool(rng) for _ in range(rng.randrange(1, 3))]]),
            "add_generation_prompt": rng.random() < 0.5, "bos_token": "<s>", "eos_token": "</s>",
            "n": rng.choice([0, 1, 2, 3, -1, 10]), "f": rng.choice([0.5, 2.0, -1.25, 1e16]),
            "s": words(rng), "d": nested(rng, 1), "items": [nested(rng, 2) for _ in range(rng.randrange(5))],
            "names": [words(rng) for _ in range(rng.randrange(5))], "numbers": [rng.randrange(-5, 9) for _ in range(4)],
            "flag": rng.random() < 0.5, "nothing": None}


class Template:
    """Writes a random template. Expressions have a wanted type, which they do not always keep to."""

    def __init__(self, rng):
        self.rng, self.macros, self.spaces, self.locals = rng, [], [], []

    def pick(self, *options):
        choice = self.rng.choice(options)
        return choice() if callable(choice) else choice

    def text_literal(self):
        literal = self.pick("a", "b c", "\\n", "é", "日", "Hello World", "<|x|>", "", " ", "\\t\\x41", "\\u00e9", "%s", "%d!",
                            "{}", "{0:>5}", "it\\'s", "\\q", ",", "a-b", "\\101", "\\U0001F600", "%5.2f", "%-6s|", "{:05d}")
        return "'" + literal + "'"

    def integer(self, depth=0):
        r = self.rng
        if depth > 2 or r.random() < 0.4:
            return self.pick("0", "1", "2", "-1", "n", "3", "10", "loop.index", "loop.index0", "0x1F", "1_000", "loop.length",
                             "loop.revindex", "loop.depth", "true")
        e = lambda: self.integer(depth + 1)  # noqa: E731
        return self.pick(lambda: f"({e()} {r.choice(['+', '-', '*', '//', '%'])} {e()})", lambda: f"({e()} ** {r.choice(SMALL)})", lambda: f"({e()} / {e()})",
                         lambda: f"{self.sequence(depth + 1)}|length", lambda: f"{self.text(depth + 1)}|int",
                         lambda: f"-{e()}", lambda: f"{self.text(depth + 1)}.{r.choice(['find', 'count', 'rfind', 'index'])}('a')",
                         lambda: f"({e()})|abs", lambda: f"numbers|{r.choice(['sum', 'max', 'min', 'first', 'last'])}",
                         lambda: f"(f * {e()})|round({r.choice(ROUND)})",
                         lambda: f"numbers[{e()}]", lambda: f"{self.text(depth + 1)}|float", lambda: "f",
                         lambda: f"{self.text(depth + 1)}|wordcount", lambda: f"({e()}|int(5, {r.choice(['2', '16', '0', '10'])}))")

    def text(self, depth=0):
        r = self.rng
        if depth > 2 or r.random() < 0.35:
            return self.pick(self.text_literal, "s", "message.content", "message['role']", "message.role", "bos_token",
                             "names[0]", "messages[0].content", "messages[-1]['content']", "missing", "eos_token", "nothing",
                             "message.reasoning_content", "d", "item", "x", "loop.previtem", "loop.nextitem", "ns.v")
        e = lambda: self.text(depth + 1)  # noqa: E731
        i = lambda: self.integer(depth + 1)  # noqa: E731
        q = lambda: self.sequence(depth + 1)  # noqa: E731
        return self.pick(
            lambda: f"({e()} + {e()})", lambda: f"({e()} ~ {i()} ~ {e()})", lambda: f"({e()} + {e()})",
            lambda: f"{e()}.{r.choice(['strip', 'lstrip', 'rstrip', 'upper', 'lower', 'title', 'capitalize', 'swapcase'])}()",
            lambda: f"{e()}.{r.choice(['strip', 'lstrip', 'rstrip'])}({self.text_literal()})",
            lambda: f"{e()}|{r.choice(['trim', 'upper', 'lower', 'title', 'capitalize', 'string', 'e', 'safe', 'reverse', 'urlencode', 'forceescape', 'default(1)'])}",
            lambda: f"{e()}.split({self.pick('', self.text_literal, 'None, 1', self.text_literal() + ', 1')})[{i()}]",
            lambda: f"{e()}.rsplit({self.pick('', self.text_literal)})|join('/')", lambda: f"{e()}.splitlines()|join('|')",
            lambda: f"{e()}.replace({self.text_literal()}, {e()})", lambda: f"{e()}|replace({self.text_literal()}, {e()})",
            lambda: f"{e()}|replace({self.text_literal()}, {self.text_literal()}, {i()})",
            lambda: f"{e()}[{self.slice()}]", lambda: f"{e()}[{i()}]", lambda: f"{e()} * {r.choice(SMALL)}",
            lambda: f"{q()}|join({self.pick('', self.text_literal)})", lambda: f"{self.text_literal()}.join(names)",
            lambda: f"{self.value(depth + 1)}|tojson{self.pick(*JSON)}",
            lambda: f"({e()} if {self.condition(depth + 1)} else {e()})", lambda: f"({e()} if {self.condition(depth + 1)})",
            lambda: f"({e()} or {e()})", lambda: f"({e()} and {e()})", lambda: f"{e()}|default({e()}, {r.choice(['true', 'false'])})",
            lambda: f"{e()}|indent({self.pick('', '2', '2, true', 'blank=true', self.text_literal)})",
            lambda: f"{e()}|truncate({r.choice(TRUNCATE)})", lambda: f"{e()}|center({r.choice(['9', '4', '20'])})",
            lambda: f"{self.text_literal()}|format({e()})", lambda: f"{self.text_literal()} % {self.pick(e, i, lambda: '(' + i() + ',)')}",
            lambda: f"{self.text_literal()}.format({self.pick(e, i)})", lambda: f"'{{x!r}}-{{0.role}}'.format(message, x={e()})",
            lambda: f"{e()}.removeprefix({e()})", lambda: f"{e()}.removesuffix({self.text_literal()})", lambda: f"{q()}|string",
            lambda: f"{e()}.{r.choice(['zfill', 'center', 'ljust', 'rjust'])}({r.choice(SMALL)}4)", lambda: f"{e()}.partition({self.text_literal()})",
            lambda: f"{self.value(depth + 1)}|string", lambda: "loop.cycle('a', 'b')",
            lambda: f"{self.pick(*self.macros)}({self.pick('', e, lambda: e() + ', ' + e(), lambda: 'b=' + e(), lambda: 'zzz=1')})" if self.macros else e(),
            lambda: f"'%(a)s %(b)5.1f' % {{'a': {e()}, 'b': {i()}}}")

    def slice(self):
        part = lambda: self.pick("", "1", "-1", "2", "-2", "0", "n")  # noqa: E731
        return f"{part()}:{part()}{self.pick('', ':', ':-1', ':2', ':-2')}"

    def sequence(self, depth=0):
        r = self.rng
        if depth > 2 or r.random() < 0.4:
            return self.pick("messages", "names", "numbers", "items", "range(3)", "[1, 2, 3]", "tools", "s", "d", "message.tool_calls",
                             "('a', 'b')", "messages[1:]", "range(n)", "message", "missing", "range(5, 0, -2)", "()")
        e = lambda: self.sequence(depth + 1)  # noqa: E731
        test = lambda: self.pick("'defined'", "'string'", "'eq', 'user'", "'none'", "'number'", "'odd'", "'in', names", "'gt', 1")  # noqa: E731
        return self.pick(
            lambda: f"{e()}|list", lambda: f"{e()}|sort{self.pick(*SORT)}",
            lambda: f"{e()}|reverse", lambda: f"{e()}|unique|list", lambda: f"{e()}[{self.slice()}]",
            lambda: f"{e()}|map({self.pick(*MAP)})|list",
            lambda: f"{e()}|{r.choice(['select', 'reject'])}({self.pick('', test)})|list",
            lambda: f"messages|{r.choice(['selectattr', 'rejectattr'])}('{r.choice(['role', 'content', 'tool_calls', 'nope'])}'{self.pick('', lambda: ', ' + test())})|list",
            lambda: f"{e()}|batch({r.choice(['2', '3', '2, 0'])})|list", lambda: f"{e()}|slice({r.choice(['2', '3', '2, 0'])})|list",
            lambda: f"{e()} + {e()}", lambda: f"{self.text(depth + 1)}.split({self.pick('', self.text_literal)})", lambda: f"{e()} * 2",
            lambda: f"d.{r.choice(['items', 'keys', 'values'])}()", lambda: f"{self.value(depth + 1)}|items|list",
            lambda: f"d|dictsort{self.pick(*DICTSORT)}",
            lambda: f"messages|groupby('role')|list", lambda: f"[{self.text(depth + 1)}, {self.integer(depth + 1)}]",
            lambda: f"({e()} if {self.condition(depth + 1)} else {e()})", lambda: f"(message.tool_calls or {e()})",
            lambda: f"{self.text(depth + 1)}|list")

    def value(self, depth=0):
        return self.pick(lambda: self.text(depth), lambda: self.integer(depth), lambda: self.sequence(depth), "message", "messages",
                         "tools", "d", "items", "nothing", "flag", "f", lambda: "{'a': " + self.text(depth + 1) + ", 'b': [1, 2.5, none]}",
                         lambda: f"dict(a={self.text(depth + 1)})", lambda: "message.get('content', 'none')", lambda: "d.get('a')",
                         lambda: self.condition(depth))

    def condition(self, depth=0):
        r = self.rng
        tests = ["defined", "undefined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean",
                 "true", "false", "odd", "even", "callable", "lower", "upper", "divisibleby(3)", "divisibleby 2", "eq 'user'", "in names",
                 "sameas none", "ne 1", "gt 0", "equalto 'user'", "lt(2)", "in('user')"]
        v = lambda: self.value(depth + 1)  # noqa: E731
        if depth > 2:
            return self.pick("flag", "loop.first", "loop.last", "tools", "add_generation_prompt", "message.role == 'user'", "not flag")
        return self.pick(
            lambda: f"{v()} is {r.choice(['', '', 'not '])}{r.choice(tests)}", "flag", "loop.first", "loop.last", "add_generation_prompt",
            lambda: f"message.role {r.choice(['==', '!='])} 'user'", lambda: f"{v()} == {v()}",
            lambda: f"{self.integer(depth + 1)} {r.choice(['<', '<=', '>', '>=', '==', '!='])} {self.integer(depth + 1)}",
            lambda: f"0 {r.choice(['<', '<='])} {self.integer(depth + 1)} < 5", lambda: f"{v()} {r.choice(['in', 'not in'])} {v()}",
            lambda: f"not {self.condition(depth + 1)}", lambda: f"({self.condition(depth + 1)} and {self.condition(depth + 1)})",
            lambda: f"({self.condition(depth + 1)} or {self.condition(depth + 1)})", lambda: f"{self.text_literal()} in {self.text(depth + 1)}",
            lambda: f"{self.text(depth + 1)}.{r.choice(['startswith', 'endswith'])}({self.pick(self.text_literal, AFFIXES)})",
            lambda: f"{self.text(depth + 1)}.{r.choice(['isdigit', 'isspace', 'isalpha', 'isupper', 'islower', 'isalnum', 'isnumeric', 'isdecimal'])}()",
            lambda: f"loop.changed({self.text(depth + 1)})", "tools is not none", "tools", "'tool_calls' in message", "message.content is string")

    def tag(self, inside):
        return "{%" + self.pick("", "", "-", "-", "+") + " " + inside + " " + self.pick("", "", "-", "-", "+") + "%}"

    def data(self):
        return self.pick("", "\n", " ", "  \n  ", "<|im_start|>", "text\n", "\n\n", "é ", "{# c #}", "  {#- c -#}\n", "\t", "a{#+ x +#}\n",
                         "{% raw %}{{ x }}{% endraw %}\n", " {%- raw -%} {% y %} {%- endraw -%} ", "\r\n", "} ", "{ ", "\u00a0\n")

    def output(self):
        expression = self.pick(self.text, self.text, self.value, self.integer, self.condition)
        return "{{" + self.pick("", "", "-") + " " + expression + " " + self.pick("", "", "-") + "}}"

    def block(self, depth=0):
        parts = []
        for _ in range(self.rng.choice([1, 2, 2, 3])):
            parts.append(self.data())
            parts.append(self.statement(depth))
        parts.append(self.data())
        return "".join(parts)

    def assigned(self):
        return self.pick("x", "y", "item", "s", "n", "message", "messages", "names")

    def statement(self, depth):
        r = self.rng
        if depth > 2 or r.random() < 0.35:
            return self.output()
        b = lambda: self.block(depth + 1)  # noqa: E731
        return self.pick(
            lambda: self.loop(depth), lambda: self.loop(depth), lambda: self.branch(depth), lambda: self.branch(depth),
            lambda: self.tag(f"set {self.assigned()} = {self.value()}"), lambda: self.tag(f"set x, y = {self.pick('1, 2', self.sequence)}"),
            lambda: self.tag("set ns = namespace(v=" + self.value(2) + ")") + self.tag("set ns.v = " + self.text(1)),
            lambda: self.tag("set ns.v = " + self.pick("ns.v ~ 'a'", lambda: self.value(1))),
            lambda: self.tag("set x" + self.pick("", " | trim", " | upper | replace('A', 'b')")) + b() + self.tag("endset"),
            lambda: self.macro(depth), lambda: self.tag("filter " + self.pick("upper", "trim", "indent(2)", "replace('a', 'z') | e")) + b() + self.tag("endfilter"),
            lambda: self.tag(f"with x = {self.value(1)}, y = {self.text(1)}") + b() + self.tag("endwith"),
            lambda: self.tag("generation") + b() + self.tag("endgeneration"), lambda: self.call(depth),
            lambda: self.tag(f"if {self.condition(1)}") + "{{ raise_exception(" + self.pick(self.text_literal, lambda: "'bad: ' ~ " + self.text(2)) + ") }}" + self.tag("endif") if r.random() < 0.4 else self.output(),
            lambda: self.tag("print " + self.text(1)), lambda: self.broken() if r.random() < 0.15 else self.output())

    def broken(self):
        return self.pick("{% if %}", "{{ }}", "{% endfor %}", "{{ 'a }}", "{% set 1 = 2 %}", "{{ x|nofilter }}", "{{ x is notest }}", "{% foo %}",
                         "{{ names.append(1) }}", "{{ (1 }}", "{% break %}", "{{ 1 if }}", "{% include 'a' %}", "{{ f(a=1, 2) }}", "{{ x.__class__ }}",
                         "{{ {}.update({}) }}", "{{ strftime_now('%d %B %Y') }}", "{{ range(200000) }}", "{% macro %}", "{{ a b }}", "{{ 1/0 }}", "{#", "{{ ''.__class__.__mro__ }}")

    def loop(self, depth):
        r = self.rng
        target, over = self.pick(("message", "messages"), ("message", "messages"), ("item", self.sequence), ("k, v", "d|items"),
                                 ("k, v", "d.items()"), ("x", "numbers"), ("item", self.sequence), ("i", "range(3)"), ("x, y", "[(1, 2), (3, 4)]"),
                                 ("tool", "tools"), ("(a, b), c", "[((1, 2), 3)]"))
        over = over() if callable(over) else over
        condition = self.pick("", "", "", lambda: " if " + self.condition(1))
        if r.random() < 0.06:
            return (self.tag(f"for item in {self.pick('[[1, [2]], [3]]', 'items', 'd')}{condition} recursive") + "{{ loop.depth }}" +
                    self.tag("if item is iterable and item is not string") + "{{ loop(item) }}" + self.tag("else") + self.output() +
                    self.tag("endif") + self.tag("endfor"))
        body = self.block(depth + 1)
        if r.random() < 0.2:
            body += self.tag(f"if {self.condition(1)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.data()
        other = self.tag("else") + self.block(depth + 1) if r.random() < 0.2 else ""
        return self.tag(f"for {target} in {over}{condition}") + body + other + self.tag("endfor")

    def branch(self, depth):
        out = self.tag("if " + self.condition()) + self.block(depth + 1)
        while self.rng.random() < 0.3:
            out += self.tag("elif " + self.condition()) + self.block(depth + 1)
        if self.rng.random() < 0.4:
            out += self.tag("else") + self.block(depth + 1)
        return out + self.tag("endif")

    def macro(self, depth):
        name = self.pick("m", "show", "render")
        signature = self.pick("", "a", "a, b='d'", "a='x', b=a", "b=1")
        body = self.block(depth + 1) + self.pick("", "{{ a }}", "{{ b }}|{{ a }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "{{ caller('z') if caller }}")
        self.macros.append(name)
        return self.tag(f"macro {name}({signature})") + body + self.tag("endmacro")

    def call(self, depth):
        name = self.pick(*self.macros) if self.macros else "m"
        return self.tag(f"call{self.pick('', '(u)', '(u=1)')} {name}({self.pick('', self.text_literal)})") + "{{ u }}" + self.block(depth + 1) + self.tag("endcall")


def render(source, values):
    """What transformers' environment makes of a template: text and ranges of bytes, or the error."""
    try:
        template = chat_template_utils._compile_jinja_template.__wrapped__(source)
        blocks, ranges = [], []
        with template.environment.activate_tracker(blocks, ranges):
            for block in template.generate(**values):
                blocks.append(block)
        text = "".join(blocks)
        size = lambda characters: len(text[:characters].encode())  # noqa: E731
        return {"text": text, "generations": [[size(begin), size(end)] for begin, end in ranges]}
    except Exception as error:
        out = {"error": type(error).__name__}
        if out["error"] == "TemplateError":
            out["raised"] = str(error)
        return out


UNSTABLE = (" object at 0x", "<function ", "<built-in", "<Macro", "<LoopContext", "<bound", "<generator", "<class")


def is_stable(result):
    """Whether the text can be written as UTF-8 and holds no addresses of objects."""
    try:
        text = result.get("text", "") + result.get("raised", "")
        text.encode()
        return not any(mark in text for mark in UNSTABLE)
    except UnicodeEncodeError:
        return False


def rows(count, seed):
    """Templates of several blocks. Three in four render to the end: blocks that raise are left out of them."""
    rng = random.Random(seed)
    while count > 0:
        template, values, source = Template(rng), variables(rng), ""
        result = render(source, values)
        for _ in range(rng.randrange(2, 9)):
            longer = source + template.block(rng.randrange(3))
            longer_result = render(longer, values)
            if ("error" not in longer_result or rng.random() < 0.04) and is_stable(longer_result):
                source, result = longer, longer_result
            if "error" in result:
                break
        if "error" not in result and rng.random() < 0.1:
            longer = source + "{{ raise_exception(" + template.text() + ") }}"
            longer_result = render(longer, values)
            if is_stable(longer_result):
                source, result = longer, longer_result
        if len(source) <= 6000:
            yield {"template": source, "variables": values, **result}
            count -= 1


def same(row, got):
    return all(row.get(key) == got.get(key) for key in ("text", "generations", "raised")) and ("error" in row) == ("error" in got)


def compare(driver, count, seed, show):
    given = list(rows(count, seed))
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/in", "w") as file:
            file.writelines(json.dumps(row) + "\n" for row in given)
        subprocess.run([driver, folder + "/in", folder + "/out"], check=True)
        got = [json.loads(line) for line in open(folder + "/out")]
    # what is refused by name; integers above 64 bits; a generator as text, which is an address
    refused = [other for other in got if any(m in other.get("error", "") for m in ("64 bits", "cannot be written as text", "is not supported"))]
    different = [(row, other) for row, other in zip(given, got) if not same(row, other) and other not in refused]
    for row, other in different[:show]:
        print(json.dumps({"template": row["template"], "want": {k: row[k] for k in row if k not in ("template", "variables")}, "got": other}, ensure_ascii=False, indent=1))
    errors = sum("error" in row for row in given)
    print(f"{count} rows of seed {seed}: {errors} errors ({sum('raised' in row for row in given)} raised), "
          f"{sum(len(row.get('generations', [])) for row in given)} generation ranges, {len(refused)} refused here, {len(different)} different")
    return len(different) > 0


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=300)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--driver")
    options.add_argument("--show", type=int, default=5)
    given = options.parse_args()
    if given.driver:
        sys.exit(compare(given.driver, given.rows, given.seed, given.show))
    for row in rows(given.rows, given.seed):
        print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
