#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes chat/tools.jsonl: records with tools, calls, documents and thoughts, as transformers renders and encodes them.

Each row has the record, the template, the text that apply_chat_template gives with and without the generation prompt,
and the ids of the second. The records are small forms of what people train on; the templates are qwen2.5's, and short
ones that read what no template of templates/ does.
Usage: python3 text_tools.py
"""
import json
import pathlib

from transformers import PreTrainedTokenizerFast

here = pathlib.Path(__file__).parent
qwen = (here / "chat/templates/qwen2.5.jinja").read_text()
thinking = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}"
    "{%- if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}"
    "{{- m.content if m.content is defined else m.tool_calls | tojson }}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% if not enable_thinking | default(true) %}<think></think>{% endif %}{% endif %}")
retrieval = (
    "{% for d in documents %}[{{ loop.index }}] {{ d.title }}: {{ d.text | trim }}\n{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.name | default('-') }}\n{{ m.content }}<|im_end|>\n{% endfor %}")

tide = {"type": "function", "function": {"name": "get_tide", "description": "tide table",
        "parameters": {"type": "object", "properties": {"port": {"type": "string", "enum": ["Oslo", "Tromsø"]}}}}}


def call(arguments, **more):
    return {"role": "assistant", **more, "tool_calls": [{"type": "function", "function": {"name": "get_tide", "arguments": arguments}}]}


user, noon = {"role": "user", "content": "tide in Oslo?"}, {"role": "assistant", "content": "At noon."}
records = [
    (qwen, {"messages": [user, call({"port": "Oslo"}, content="Let me look."), {"role": "user", "content": "and?"}, noon]}),
    (qwen, {"tools": [tide], "messages": [user, call({"port": "Oslo"}, content=""), {"role": "tool", "content": "12:00"}, noon]}),
    (qwen, {"tools": [tide, tide], "messages": [{"role": "system", "content": "Be brief."}, user, call({"port": "Tromsø", "n": [1, 2.5, None, True]}, content=None),
            {"role": "tool", "content": "12:00"}, {"role": "tool", "content": "\"6\" <m>"}, noon]}),
    (qwen, {"tools": [tide], "messages": [user, call('{"port": "Oslo"}', content=None), {"role": "tool", "content": "12:00"}, noon]}),
    (qwen, {"tools": [], "messages": [user, noon]}),
    (thinking, {"messages": [user, {"role": "assistant", "content": "4", "reasoning_content": "2+2"}]}),
    (thinking, {"messages": [user, {"role": "assistant", "content": "4", "thinking": "2+2", "weight": 1}]}),
    (thinking, {"chat_template_kwargs": {"enable_thinking": False}, "messages": [user, call({}, content=None)]}),
    (retrieval, {"documents": [{"title": "T", "text": " a\n"}, {"title": "é", "text": "b"}], "id": 7,
                 "messages": [dict(user, name="Bo"), noon]}),
]

tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(here / "tokenizers/qwen2-tiny/tokenizer.json"), eos_token="<|im_end|>")
with open(here / "chat/tools.jsonl", "w") as out:
    for template, record in records:
        def render(**more):
            return tokenizer.apply_chat_template(
                record["messages"], chat_template=template, tools=record.get("tools"), documents=record.get("documents"),
                **record.get("chat_template_kwargs", {}), **more)
        row = {"record": record, "template": template, "text": render(tokenize=False),
               "prompt": render(tokenize=False, add_generation_prompt=True),
               "ids": render(tokenize=True, return_dict=False)}
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
