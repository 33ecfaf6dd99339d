"""Log-likelihoods: each continuation gets what the model says of it alone, however requests are gathered into batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM
from winnow.likelihoods import log_likelihoods
from winnow.stage import InputError

VOCABULARY, LIMIT = 24, 10


@pytest.fixture(scope="module")
def model() -> GPTNeoXForCausalLM:
    torch.manual_seed(0)
    config = GPTNeoXConfig(vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=32, max_position_embeddings=LIMIT, initializer_range=0.5)  # fmt: skip
    return GPTNeoXForCausalLM(config).eval()


def alone(model: GPTNeoXForCausalLM, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """One request in one forward pass, all logits."""
    ids = (context + continuation)[-LIMIT - 1 :]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids[:-1]])).logits[0, -len(continuation) :].double()
    chosen = torch.log_softmax(logits, -1)[range(len(continuation)), continuation]
    return float(chosen.sum()), logits.argmax(-1).tolist() == continuation


token_ids = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=LIMIT)
requests = st.lists(st.tuples(token_ids, token_ids), min_size=1, max_size=12)


@settings(max_examples=25)
@given(requests, st.integers(1, 60), st.integers(0, 3), st.booleans())
def test_each_request_has_the_likelihood_that_it_has_alone(model, asked, tokens, rows, repeated):
    if repeated:  # a question with four one-token answers is read once
        asked = [*asked, *[(asked[0][0], [answer]) for answer in range(4)]]
    done = []
    sums, greedy = log_likelihoods(model, asked, LIMIT, tokens, done.append, rows)
    expected = [alone(model, list(context), list(continuation)) for context, continuation in asked]
    assert sums == pytest.approx([one for one, _ in expected], abs=1e-4)
    assert greedy.tolist() == [one for _, one in expected]
    assert sum(done) == len(asked)


def test_a_greedy_continuation_is_told_from_another(model):
    with torch.inference_mode():
        best = int(model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1].argmax())
    _, greedy = log_likelihoods(
        model, [([1, 2, 3], [best]), ([1, 2, 3], [(best + 1) % VOCABULARY])], LIMIT, 32
    )
    assert greedy.tolist() == [True, False]


def test_a_model_that_computes_all_logits_gives_the_same(model):
    class Whole:
        """Of the models whose forward cannot leave logits out."""

        device, config = model.device, model.config

        def forward(self, input_ids, use_cache):
            return model(input_ids=input_ids, use_cache=use_cache)

        __call__ = forward

    asked = [([1, 2, 3], [4, 5]), ([7] * 9, [8, 9]), ([2], [3])]
    for some, all_of_them in zip(
        log_likelihoods(model, asked, LIMIT, 40), log_likelihoods(Whole(), asked, LIMIT, 40), strict=True
    ):
        assert np.allclose(some, all_of_them, atol=1e-5)


def test_the_number_of_threads_changes_no_bit(model):
    generator = np.random.default_rng(0)
    asked = [(generator.integers(0, VOCABULARY, 6).tolist(), [1, 2]) for _ in range(40)]
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(log_likelihoods(model, asked, LIMIT, 40)[0].tobytes())
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (([], [1]), "a context of 0 tokens and 1 after it; required: at least 1 each"),
        (([1], []), "a context of 1 tokens and 0 after it; required: at least 1 each"),
        (([1], [2] * (LIMIT + 1)), f"the text to be judged has {LIMIT + 1} tokens, the model reads {LIMIT} at a time; required: a "
         "model of a longer sequence"),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_read_is_an_error(model, request_, line):
    with pytest.raises(InputError, match=f"request 1: {line}"):
        log_likelihoods(model, [([1], [2]), request_], LIMIT, 40)


def test_requests_of_lm_eval_get_the_answers_of_its_own_loop(model, tmp_path):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast
    from winnow.evaluate.language_model import language_model

    bpe = ByteLevelBPETokenizer()
    end = "<|endoftext|>"
    bpe.train_from_iterator(["the fox said that it was there"] * 9, vocab_size=300, special_tokens=[end], show_progress=False)  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token=end, bos_token=end, pad_token=end
    )
    torch.manual_seed(0)
    network = GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                               intermediate_size=32, max_position_embeddings=24, bos_token_id=0,
                                               eos_token_id=0)).eval()  # fmt: skip
    pairs = [("the fox ", "said"), ("", "it was"), ("that fox", " was there"),
             ("the fox ", "was"), ("one that is much longer than the model reads at a time", " the fox")]  # fmt: skip

    def asked(kind: str, arguments: list[tuple]) -> list[Instance]:
        return [Instance(kind, {}, one, i) for i, one in enumerate(arguments)]

    texts = [("it was the fox that said " * 9,), ("fox",)]
    mine = language_model(network, tokenizer, 0)
    peer = HFLM(pretrained=network, tokenizer=tokenizer, batch_size=2)
    for kind, arguments in (("loglikelihood", pairs), ("loglikelihood_rolling", texts)):
        one, other = (getattr(lm, kind)(asked(kind, arguments)) for lm in (mine, peer))
        assert np.allclose(np.array(one, dtype=float), np.array(other, dtype=float), atol=1e-4), kind
