/// Chat templates that recipes name, written from the published prompt formats.
enum ChatTemplates {
    /// The templates by name, as Jinja that programs render with `messages`, `add_generation_prompt` and the tokens.
    static let named: [String: String] = [
        "alpaca": alpaca, "chatml": chatml, "exaone": exaone, "llama3": llama3, "mistral": mistral,
    ]

    /// "### Instruction:" and "### Response:", each with its text below (Taori et al. 2023).
    private static let alpaca = """
        {%- for message in messages -%}
            {%- if message['role'] == 'system' -%}
                {{- message['content'] | trim + '\\n\\n' -}}
            {%- elif message['role'] == 'user' -%}
                {{- '### Instruction:\\n' + message['content'] | trim + '\\n\\n' -}}
            {%- elif message['role'] == 'assistant' -%}
                {{- '### Response:\\n' + message['content'] | trim + '\\n\\n' -}}
            {%- endif -%}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{- '### Response:\\n' -}}
        {%- endif -%}
        """

    /// OpenAI's ChatML: every message between `<|im_start|>ROLE` and `<|im_end|>`.
    private static let chatml = """
        {%- for message in messages -%}
            {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' -}}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{- '<|im_start|>assistant\\n' -}}
        {%- endif -%}
        """

    /// LG's EXAONE 3: a system turn always comes first; the user's turns end with their line.
    private static let exaone = """
        {%- for message in messages -%}
            {%- if loop.first and message['role'] != 'system' -%}
                {{- '[|system|][|endofturn|]\\n' -}}
            {%- endif -%}
            {{- '[|' + message['role'] + '|]' + message['content'] -}}
            {{- '\\n' if message['role'] == 'user' else '[|endofturn|]\\n' -}}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{- '[|assistant|]' -}}
        {%- endif -%}
        """

    /// Meta's Llama 3: a header with the role, the text, `<|eot_id|>`.
    private static let llama3 = """
        {{- bos_token -}}
        {%- for message in messages -%}
            {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}
            {{- message['content'] | trim + '<|eot_id|>' -}}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
            {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {%- endif -%}
        """

    /// Mistral's instructions: `[INST] … [/INST]`; a system text opens the first of them.
    private static let mistral = """
        {{- bos_token -}}
        {%- set turn = namespace(system='') -%}
        {%- for message in messages -%}
            {%- if message['role'] == 'system' -%}
                {%- set turn.system = message['content'] + '\\n\\n' -%}
            {%- elif message['role'] == 'user' -%}
                {{- '[INST] ' + turn.system + message['content'] + ' [/INST]' -}}
                {%- set turn.system = '' -%}
            {%- else -%}
                {{- ' ' + message['content'] + eos_token -}}
            {%- endif -%}
        {%- endfor -%}
        """
}
