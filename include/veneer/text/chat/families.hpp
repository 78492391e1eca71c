// SPDX-License-Identifier: Apache-2.0
/// \file families.hpp
/// Named chat templates, with the texts of the original models, for `--chat-template NAME`.
///
/// A final line end of a template is not rendered, and is omitted here.
#pragma once

#include <array>
#include <string_view>

namespace veneer {

/// A template with a name.
struct ChatFamily {
  std::string_view name;
  std::string_view jinja;
};

// clang-format off
inline constexpr std::array<ChatFamily, 11> chat_families{{
{"llama3",
 R"jinja({% set loop_messages = messages %}{% for message in loop_messages %}{% set content =)jinja"
 R"jinja( '<|start_header_id|>' + message['role'] + '<|end_header_id|>

'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token +)jinja"
 R"jinja( content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{)jinja"
 R"jinja( '<|start_header_id|>assistant<|end_header_id|>

' }}{% endif %})jinja"},
{"llama2",
 R"jinja({% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set)jinja"
 R"jinja( system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set)jinja"
 R"jinja( system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] ==)jinja"
 R"jinja( 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate)jinja"
 R"jinja( user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message !=)jinja"
 R"jinja( false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{%)jinja"
 R"jinja( else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{)jinja"
 R"jinja( bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{)jinja"
 R"jinja( ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %})jinja"},
{"mistral-v0.1",
 R"jinja({{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') !=)jinja"
 R"jinja( (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate)jinja"
 R"jinja( user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' +)jinja"
 R"jinja( message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] +)jinja"
 R"jinja( eos_token + ' ' }}{% else %}{{ raise_exception('Only user and assistant roles are supported!'))jinja"
 R"jinja( }}{% endif %}{% endfor %})jinja"},
{"mistral-v0.2",
 R"jinja({{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') !=)jinja"
 R"jinja( (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate)jinja"
 R"jinja( user/assistant/user/assistant/...') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' +)jinja"
 R"jinja( message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] +)jinja"
 R"jinja( eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif)jinja"
 R"jinja( %}{% endfor %})jinja"},
{"mistral-system",
 R"jinja({%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, conversation roles must alternate)jinja"
 R"jinja( user/assistant/user/assistant/...') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {%- if loop.first and system_message is defined %}
            {{- ' [INST] ' + system_message + '\n\n' + message['content'] + ' [/INST]' }}
        {%- else %}
            {{- ' [INST] ' + message['content'] + ' [/INST]' }}
        {%- endif %}
    {%- elif message['role'] == 'assistant' %}
        {{- ' ' + message['content'] + eos_token}}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported, with the exception of an)jinja"
 R"jinja( initial optional system message!') }}
    {%- endif %}
{%- endfor %})jinja"},
{"chatml",
 R"jinja({% for message in messages %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %})jinja"},
{"zephyr",
 R"jinja({% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %})jinja"},
{"gemma",
 R"jinja({{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role)jinja"
 R"jinja( not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') !=)jinja"
 R"jinja( (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate)jinja"
 R"jinja( user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set)jinja"
 R"jinja( role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role)jinja"
 R"jinja( + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %})jinja"},
{"phi3",
 R"jinja({% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'user' %}{{'<|user|>
' + message['content'] + '<|end|>
'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>
' + message['content'] + '<|end|>
'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>
' }}{% else %}{{ eos_token }}{% endif %})jinja"},
{"phi3-original",
 R"jinja({{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user'))jinja"
 R"jinja( %}{{'<|user|>' + '
' + message['content'] + '<|end|>' + '
' + '<|assistant|>' + '
'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '
'}}{% endif %}{% endfor %})jinja"},
{"qwen2.5",
 R"jinja({%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou)jinja"
 R"jinja( are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and)jinja"
 R"jinja( arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>,)jinja"
 R"jinja( \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful)jinja"
 R"jinja( assistant.<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or)jinja"
 R"jinja( (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- message.content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %})jinja"},
}};
// clang-format on

}  // namespace veneer
