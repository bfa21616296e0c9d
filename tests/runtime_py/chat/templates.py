"""Chat templates that behave as those of well-known models do, in our own words."""

from __future__ import annotations

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# A system prompt of its own, unless the chat begins with one: SmolLM2.
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are helpful<|im_end|>\\n' }}"
    "{% endif %}" + CHATML
)

# Calls of tools, and their results as the user's words: Qwen2.5.
QWEN2_5 = (
    "{% if tools %}{{ '<|im_start|>system\\n# Tools\\n' + tools | tojson + '<|im_end|>\\n' }}{% endif %}"
    "{% for m in messages %}"
    "{% if m.role == 'tool' %}"
    "{% if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}"
    "{% if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif %}"
    "{% else %}{{ '<|im_start|>' + m.role }}{% if m.content %}{{ '\\n' + m.content }}{% endif %}"
    "{% for call in m.tool_calls or [] %}"
    '{{ \'\\n<tool_call>\\n{"name": "\' + call.function.name + \'", "arguments": \' }}'
    "{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}{{ '<|im_end|>\\n' }}"
    "{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Leaves out the reasoning of turns before the last user's, and adds an empty one to the last answer: Qwen3.
QWEN3 = (
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role != 'assistant' %}"
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% else %}"
    "{% set content = m.content %}{% set reasoning = m.reasoning_content or '' %}"
    "{% if not reasoning and '</think>' in content %}"
    "{% set reasoning = content.split('</think>')[0].split('<think>')[-1] %}"
    "{% set content = content.split('</think>')[-1] %}{% endif %}"
    "{{ '<|im_start|>assistant\\n' }}{% if loop.index0 > ns.last and (loop.last or reasoning) %}"
    "{{ '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' }}{% endif %}"
    "{{ content.lstrip('\\n') + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}"
    "{% endif %}"
    "{% endif %}"
)

LLAMA3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

# As the first Llama 3 templates did: the prompt for an answer always ends the chat.
LLAMA3_ALWAYS = LLAMA3.replace("{% if add_generation_prompt %}", "{% if true %}")

# The system's words within the first user's; turns must alternate.
LLAMA2 = (
    "{% if messages[0].role == 'system' %}"
    "{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set system = '' %}{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}"
    "{{ bos_token + '[INST] ' + ((system if loop.first else '') + m.content).strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

# The system's words before the last user's.
MISTRAL = (
    "{{ bos_token }}{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}{{ '[INST] ' }}"
    "{% if loop.last or (loop.length > 1 and loop.index0 == loop.length - 2) %}"
    "{% if messages[0].role == 'system' %}"
    "{{ messages[0].content + '\\n\\n' }}{% endif %}{% endif %}{{ m.content + '[/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)

# The assistant is called model; everything is trimmed; no system.
GEMMA2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim }}"
    "{{ '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}"
    "{% endif %}"
)

# The results of tools within the model's turn, naming the call once more; a prompt with an empty thought.
GEMMA4 = (
    "{{ bos_token }}{% set ns = namespace(open=false, name='') %}{% for m in messages %}"
    "{% if m.role == 'tool' %}"
    "{{ '<|tool_response>response:' + ns.name + '{value:<|\"|>' + m.content + '<|\"|>}<tool_response|>' }}"
    "{% else %}{% if not ns.open %}"
    "{{ '<|turn>' + ('model' if m.role == 'assistant' else m.role) + '\\n' }}{% endif %}"
    "{% set ns.open = false %}"
    "{% for call in m.tool_calls or [] %}{% set ns.name = call.function.name %}{% set ns.open = true %}"
    "{{ '<|tool_call>call:' + ns.name + '{' }}{% for key, value in call.function.arguments | dictsort %}"
    "{{ key + ':' + ('<|\"|>' + value + '<|\"|>' if value is string else value | string) }}"
    "{{ '' if loop.last else ',' }}{% endfor %}{{ '}<tool_call|>' }}{% endfor %}"
    "{{ m.content | default('') | trim }}"
    "{% if not ns.open %}{{ '<turn|>\\n' }}{% elif loop.last %}{{ '<|tool_response>' }}{% endif %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt and not ns.open %}"
    "{{ '<|turn>model\\n<|channel>thought\\n<channel|>' }}{% endif %}"
)

# Ends with the EOS, if it is not for an answer.
PHI3 = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}"
    "{{ '<|assistant|>\\n' if add_generation_prompt else eos_token }}"
)

PHI4 = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '<|im_sep|>' + m.content + '<|im_end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)

# Nothing closes a turn but the opening of the next.
GLM4 = (
    "{{ '[gMASK]<sop>' }}{% for m in messages %}{{ '<|' + m.role + '|>\\n' + m.content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

# Leaves out all reasoning, but opens one in the prompt.
R1_DISTILL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% endif %}{% endfor %}"
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<|User|>' + m.content }}"
    "{% elif m.role == 'assistant' %}"
    "{{ '<|Assistant|>' + m.content.split('</think>')[-1] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|Assistant|><think>\\n' }}{% endif %}"
)

# One answer of several parts; an end in the middle of a chat that is not the end's: gpt-oss.
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% if m.thinking and loop.last %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking }}"
    "{{ '<|end|>' }}{% endif %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last else '<|end|>' }}"
    "{% else %}{{ '<|start|>' + m.role + '<|message|>' + m.content + '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}"
)

# No token of its own.
PLAIN = "{% for m in messages %}{{ '### ' + m.role + ': ' + m.content | trim + eos_token }}{% endfor %}"

# ChatML that says itself what is generated.
MARKED = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}"
    "{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

TOKENS = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|im_sep|>",
    "<tool_call>",
    "</tool_call>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "[INST]",
    "[/INST]",
    "<start_of_turn>",
    "<end_of_turn>",
    "<|turn>",
    "<turn|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|channel>",
    "<channel|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "[gMASK]",
    "<sop>",
    "<|User|>",
    "<|Assistant|>",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|return|>",
]
"""What the models' tokenizers have as tokens of these."""
