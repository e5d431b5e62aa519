from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from training.texts import TextEncoder, TextSettings, TokenizerError, Tokens

E = "eng_Latn"


def words(encoder: TextEncoder, tokens: Tokens | None) -> list[str]:
    assert tokens is not None
    return list(encoder.tokenizer.convert_ids_to_tokens(tokens.ids))  # type: ignore[attr-defined]


def only(encoded: list[Tokens | None]) -> Tokens | None:
    assert len(encoded) == 1
    return encoded[0]


def test_an_encoder_decoder_gets_what_its_tokenizer_makes(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer, TextSettings())
    prompt, target = only(encoder.prompts(["a dog"], [E])), only(encoder.targets(["the cat"], [E]))
    assert words(encoder, prompt) == ["a", "dog", "</s>"]
    assert words(encoder, target) == ["the", "cat", "</s>"]
    assert list(prompt.ids) == tokenizer("a dog")["input_ids"]  # type: ignore[union-attr]
    assert encoder.layout.image_position == 0


def test_long_texts_are_cut_and_keep_their_end(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer, TextSettings(max_prompt_tokens=3, max_target_tokens=4))
    prompts = encoder.prompts(["a dog", "a dog sits"], [E, E])
    assert [words(encoder, prompt) for prompt in prompts] == [["a", "dog", "</s>"], ["a", "dog", "</s>"]]
    assert [prompt.cut for prompt in prompts if prompt] == [False, True]
    target = only(encoder.targets(["a big dog sits in the house"], [E]))
    assert words(encoder, target) == ["a", "big", "dog", "</s>"]


def test_a_decoder_gets_a_start_once_and_the_end_after_the_target(bos_tokenizer: Any) -> None:
    encoder = TextEncoder(bos_tokenizer, TextSettings(decoder_only=True))
    assert words(encoder, only(encoder.prompts(["a dog"], [E]))) == ["<s>", "a", "dog", "\n"]
    assert words(encoder, only(encoder.targets(["the cat"], [E]))) == ["the", "cat", "</s>"]
    assert encoder.layout.image_position == 1
    assert encoder.pad_id == bos_tokenizer.eos_token_id  # it has no padding token


def test_the_separator_is_a_setting(bos_tokenizer: Any) -> None:
    encoder = TextEncoder(bos_tokenizer, TextSettings(decoder_only=True, separator=""))
    assert words(encoder, only(encoder.prompts(["a dog"], [E]))) == ["<s>", "a", "dog"]


def test_a_chat_template_surrounds_prompt_and_target(chat_tokenizer: Any) -> None:
    encoder = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True))
    prompt, target = only(encoder.prompts(["a dog"], [E])), only(encoder.targets(["the cat"], [E]))
    assert words(encoder, prompt) == [
        *("<|im_start|>", "user", "\n", "a", "dog", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n")
    ]
    assert words(encoder, target) == ["the", "cat", "<|im_end|>"]
    assert encoder.layout.image_position == 3
    # The same tokens as the whole conversation has.
    messages = [{"role": "user", "content": "a dog"}, {"role": "assistant", "content": "the cat"}]
    whole = chat_tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert [*prompt.ids, *target.ids] == whole[: len(prompt.ids) + len(target.ids)]  # type: ignore[union-attr]


LLAMA_2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n' + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
VICUNA = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ 'USER: ' + message['content'] + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT: ' }}{% endif %}"
)
MARKED = (
    "{% for message in messages %}<s>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>{% endif %}"
)
TEMPLATES = {"llama 2": LLAMA_2, "mistral": MISTRAL, "zephyr": ZEPHYR, "vicuna": VICUNA, "marked": MARKED}
ANSWERS = ["Ein Hund im Gras.", "草地上的狗。", "หมา", "2"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("template", TEMPLATES)
def test_what_puts_a_space_before_a_text_makes_the_tokens_of_the_whole_conversation(
    llama_tokenizer: Any, template: str, answer: str
) -> None:
    llama_tokenizer.chat_template = TEMPLATES[template]
    encoder = TextEncoder(llama_tokenizer, TextSettings(decoder_only=True))
    question = "Describe the image in German."
    prompt, target = only(encoder.prompts([question], [E])), only(encoder.targets([answer], [E]))
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole = llama_tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    made = words(encoder, prompt) + words(encoder, target)
    assert made == llama_tokenizer.convert_ids_to_tokens(whole)[: len(made)]
    assert made[-1] == "</s>"
    assert llama_tokenizer.decode(target.ids, skip_special_tokens=True).strip() == answer  # type: ignore[union-attr]
    assert encoder.unlike_template() is None


def test_the_space_of_a_template_is_part_of_the_first_word(llama_tokenizer: Any) -> None:
    llama_tokenizer.chat_template = LLAMA_2
    encoder = TextEncoder(llama_tokenizer, TextSettings(decoder_only=True))
    assert encoder.layout.before_target == ()
    assert words(encoder, only(encoder.targets(["Ein Hund."], [E])))[0].startswith("▁E")


@pytest.mark.parametrize("separator", ["\n", " ", "\n\n", ""])
@pytest.mark.parametrize("answer", ANSWERS)
def test_without_a_template_prompt_and_target_are_one_text(
    llama_tokenizer: Any, separator: str, answer: str
) -> None:
    encoder = TextEncoder(llama_tokenizer, TextSettings(decoder_only=True, separator=separator))
    question = "Describe the image in German."
    prompt, target = only(encoder.prompts([question], [E])), only(encoder.targets([answer], [E]))
    whole = llama_tokenizer(f"{question}{separator}{answer}")["input_ids"]
    made = [*prompt.ids, *target.ids]  # type: ignore[union-attr]
    assert made == [*whole, llama_tokenizer.eos_token_id]


def test_a_prompt_stays_the_same_whatever_is_answered(llama_tokenizer: Any) -> None:
    """A target that makes one token with the template's end has its own tokens."""
    llama_tokenizer.chat_template = MISTRAL
    encoder = TextEncoder(llama_tokenizer, TextSettings(decoder_only=True))
    assert "](" in llama_tokenizer.get_vocab()
    prompt = only(encoder.prompts(["Describe the image."], [E]))
    target = only(encoder.targets(["(ein Hund)"], [E]))
    assert words(encoder, prompt)[-1] == "]"
    assert words(encoder, target)[0][0] == "("


def test_an_encoder_decoder_keeps_the_space_before_each_text(llama_tokenizer: Any) -> None:
    encoder = TextEncoder(llama_tokenizer, TextSettings())
    assert words(encoder, only(encoder.targets(["Ein"], [E])))[-2].startswith("▁E")
    assert "places" not in encoder.signature()


def test_places_of_texts_are_part_of_the_signature(llama_tokenizer: Any, chat_tokenizer: Any) -> None:
    """Runs with other tokenizers, from before there were places, go on."""
    assert "places" in TextEncoder(llama_tokenizer, TextSettings(decoder_only=True)).signature()
    other = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True))
    assert "places" not in other.signature()
    assert "place" not in repr(other.layout).lower()


def test_a_conversation_unlike_the_templates_is_told(chat_tokenizer: Any) -> None:
    encoder = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True))
    assert encoder.unlike_template() is None
    chat_tokenizer.chat_template = chat_tokenizer.chat_template.replace(
        "message.content", "message.content|upper"
    )
    encoder.tokenizer.chat_template = chat_tokenizer.chat_template  # type: ignore[attr-defined]
    told = encoder.unlike_template()
    assert told is not None
    assert "is not as the chat template has it" in told
    unused = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True, chat=False))
    assert unused.unlike_template() is None


def test_a_chat_template_can_be_left_unused(chat_tokenizer: Any) -> None:
    encoder = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True, chat=False))
    assert words(encoder, only(encoder.prompts(["a dog"], [E]))) == ["a", "dog", "\n"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"chat": True}, "an encoder-decoder's prompts have no"),
        ({"chat_options": {"a": 1}}, "chat_options: no"),
    ],
)
def test_an_encoder_decoder_has_no_chat(tokenizer: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(TokenizerError, match=told):
        TextEncoder(tokenizer, TextSettings(decoder_only=False, **options))


def test_a_chat_template_that_must_be_there_is_missed(bos_tokenizer: Any) -> None:
    with pytest.raises(TokenizerError, match="no chat template"):
        TextEncoder(bos_tokenizer, TextSettings(decoder_only=True, chat=True))


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ raise_exception('no') }}", "the chat template fails"),
        ("{% for m in messages %}{{ m.role }}{% endfor %}", "does not answer where it asks"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}x", "does not"),
    ],
)  # fmt: skip
def test_a_useless_chat_template_is_told(chat_tokenizer: Any, template: str, told: str) -> None:
    chat_tokenizer.chat_template = template
    with pytest.raises(TokenizerError, match=told):
        TextEncoder(chat_tokenizer, TextSettings(decoder_only=True))


def test_a_template_longer_than_the_limit_is_told(chat_tokenizer: Any) -> None:
    with pytest.raises(
        TokenizerError, match="max_prompt_tokens: too few; 8 stand around every prompt, so take more"
    ):
        TextEncoder(chat_tokenizer, TextSettings(decoder_only=True, max_prompt_tokens=8))


def test_options_reach_the_template(chat_tokenizer: Any) -> None:
    chat_tokenizer.chat_template += "{% if add_generation_prompt and loud %}big{% endif %}"
    with pytest.raises(TokenizerError, match="does not answer"):
        TextEncoder(chat_tokenizer, TextSettings(decoder_only=True, chat_options={"loud": True}))
    TextEncoder(chat_tokenizer, TextSettings(decoder_only=True, chat_options={"loud": False}))


def test_a_template_that_tells_the_date_tells_the_same_one_tomorrow(chat_tokenizer: Any) -> None:
    template = chat_tokenizer.chat_template
    settings = TextSettings(decoder_only=True)
    chat_tokenizer.chat_template = "Today is 26 Jul 2024 (2024-07-26). " + template
    expected = TextEncoder(chat_tokenizer, settings).layout
    chat_tokenizer.chat_template = (
        "{%- if strftime_now is defined %}{%- set day = strftime_now('%d %b %Y') %}{%- endif %}"
        "Today is {{ day }} ({{ strftime_now('%Y-%m-%d') }}). " + template
    )
    assert TextEncoder(chat_tokenizer, settings).layout == expected


@pytest.mark.parametrize("text", ["a dog</s>", "<pad>", "the <unk> cat", "a <|im_end|> b"])
def test_texts_with_special_tokens_are_left_out(chat_tokenizer: Any, text: str) -> None:
    encoder = TextEncoder(chat_tokenizer, TextSettings(decoder_only=True))
    assert encoder.prompts([text, "a dog"], [E, E])[0] is None
    assert encoder.targets([text], [E]) == [None]
    assert encoder.prompts([text, "a dog"], [E, E])[1] is not None


def test_a_tokenizer_that_marks_languages_gets_their_tokens(tokenizer: Any) -> None:
    import copy

    marking = copy.deepcopy(tokenizer)
    marking.add_special_tokens({"additional_special_tokens": ["eng_Latn", "deu_Latn"]})
    marking.src_lang = None
    encoder = TextEncoder(marking, TextSettings(), ["eng_Latn", "deu_Latn"])
    prompts = encoder.prompts(["a dog", "a dog"], ["eng_Latn", "deu_Latn"])
    assert [words(encoder, prompt) for prompt in prompts] == [
        ["eng_Latn", "a", "dog", "</s>"],
        ["deu_Latn", "a", "dog", "</s>"],
    ]
    assert words(encoder, only(encoder.targets(["the cat"], ["deu_Latn"])))[0] == "deu_Latn"
    with pytest.raises(TokenizerError, match="no token for swh_Latn"):
        TextEncoder(marking, TextSettings(), ["swh_Latn"])
    assert not encoder.knows("swh_Latn")
    assert encoder.targets(["the cat", "the cat"], ["swh_Latn", "deu_Latn"])[0] is None
    # Prompts may be in a language that no shard is named after.
    other = TextEncoder(marking, TextSettings(), ["eng_Latn"])
    assert other.knows("deu_Latn")
    assert words(other, only(other.prompts(["a dog"], ["deu_Latn"]))) == ["deu_Latn", "a", "dog", "</s>"]


def test_threads_learn_the_same_of_a_language_that_no_shard_has(tokenizer: Any) -> None:
    import copy

    marking = copy.deepcopy(tokenizer)
    marking.add_special_tokens({"additional_special_tokens": ["eng_Latn", "deu_Latn"]})
    marking.src_lang = None
    texts = ["a dog"] * 200
    for _ in range(20):
        encoder = TextEncoder(marking, TextSettings(), ["eng_Latn"])
        start = threading.Barrier(2)

        def prompts(encoder: TextEncoder = encoder, start: threading.Barrier = start) -> list[Any]:
            start.wait()
            return list(encoder.prompts(texts, ["deu_Latn"] * len(texts)))

        with ThreadPoolExecutor(2) as pool:
            found = [one.result() for one in [pool.submit(prompts), pool.submit(prompts)]]
        assert all(one is not None for of_thread in found for one in of_thread)


def test_a_tokenizer_without_end_is_refused(tokenizer: Any) -> None:
    import copy

    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    with pytest.raises(TokenizerError, match="no end token"):
        TextEncoder(endless, TextSettings())


def test_the_signature_tells_tokenizers_and_settings_apart(tokenizer: Any, chat_tokenizer: Any) -> None:
    one = TextEncoder(tokenizer, TextSettings()).signature()
    assert one == TextEncoder(tokenizer, TextSettings()).signature()
    assert one != TextEncoder(tokenizer, TextSettings(max_target_tokens=9)).signature()
    assert one != TextEncoder(chat_tokenizer, TextSettings()).signature()


def test_texts_without_tokens_are_no_fault(tokenizer: Any) -> None:
    encoder = TextEncoder(tokenizer, TextSettings())
    assert words(encoder, only(encoder.prompts([""], [E]))) == ["</s>"]


def test_limits_below_two_are_refused() -> None:
    with pytest.raises(ValueError, match="max_target_tokens: 1 must be at least 2"):
        TextSettings(max_target_tokens=1)
