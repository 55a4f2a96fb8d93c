"""The table of traits: how single models and hosts differ from the protocol that they speak, and what follows."""

from .trait import EFFORTS, FIELDS, WORDS, Trait, Traits, describe, pattern_of, traits_of

__all__ = ["EFFORTS", "FIELDS", "WORDS", "Trait", "Traits", "describe", "pattern_of", "traits_of"]
