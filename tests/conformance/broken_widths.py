"""Broken transformations, as in broken.py, that are too narrow."""

import jax

import gradtx

from .broken import by_hand, stateless


def halved_in_its_dtype(updates, params):
    return jax.tree.map(lambda g: g / 2, updates)


def takes_gradients_of_another_dtype():
    r"""updates of bfloat16 gradients\['.* is bfloat16\[.*: the wider is float32"""
    return by_hand(*stateless(halved_in_its_dtype))


@gradtx.transformation
def rounds_nothing_on_the_way():
    r"""a step from bfloat16 gradients\.updates\['.*, from the same in float32"""
    return stateless(lambda u, p: jax.tree.map(lambda g: g / 3, u))


@gradtx.transformation
def rounds_once_into_the_parameters():
    r"""new params\['.*, rounded more than once: in float32 they are"""
    return stateless(lambda u, p: jax.tree.map(lambda g: g / 3, u))
