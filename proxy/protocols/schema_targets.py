"""The table of what each target forbids in a schema, and at which depth; `fit_schema` applies a row.

A function's parameters and the schema of an answer are different places, and strict ones have rules of their own.
"""

from __future__ import annotations

from msgspec.structs import replace

from ..ir.json_schema import SchemaRules

# "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"
# https://github.com/langchain-ai/langchainjs/issues/9804; "object schema missing properties"
# https://github.com/langchain-ai/langchain-mcp-adapters/issues/137; "array schema missing items"
# https://github.com/langchain-ai/langgraphjs/issues/1177
OPENAI_FUNCTION = SchemaRules(
    is_object=True,
    not_on_top=frozenset(("oneOf", "anyOf", "allOf", "enum", "not", "if", "then", "else")),
    has_items=True,
)

# "Some keywords are not supported: allOf, not, dependentRequired, dependentSchemas, if, then, else", and the API
# answers "'oneOf' is not permitted", "'default' is not permitted"
# https://platform.openai.com/docs/guides/structured-outputs#some-type-specific-keywords-are-not-yet-supported
OPENAI_STRICT = SchemaRules(
    nowhere=frozenset(("default",)),
    renamed={"oneOf": "anyOf"},
    outside=frozenset(
        (
            *("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else"),
            *("patternProperties", "propertyNames", "unevaluatedProperties", "contains", "prefixItems"),
        )
    ),
)

# "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
# https://github.com/anthropics/claude-code/issues/5973
ANTHROPIC_FUNCTION = SchemaRules(is_object=True, not_on_top=frozenset(("oneOf", "anyOf", "allOf")))

# "Not supported: […] Numerical constraints (such as minimum, maximum, multipleOf); String constraints (minLength,
# maxLength); Array constraints beyond minItems of 0 or 1; additionalProperties set to anything other than false";
# "Recursive schemas"; of unions anyOf and allOf are supported
# https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
ANTHROPIC_STRICT = SchemaRules(
    nowhere=frozenset(
        (
            *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"),
            *("maxItems", "uniqueItems", "minProperties", "maxProperties"),
        )
    ),
    renamed={"oneOf": "anyOf"},
    is_closed=True,
    few_items=True,
    is_finite=True,
)

# an answer that is not asked to be strict says what it must have, and nothing of what else it may have
ANTHROPIC_ANSWER = replace(ANTHROPIC_STRICT, closing_changes=False)

# "parameters schema should be of type OBJECT"; "If $ref is set on a sub-schema, no other properties, except for than
# those starting as a $, may be set." https://ai.google.dev/api/generate-content#generationconfig
GEMINI_FUNCTION = SchemaRules(is_object=True, bare_references=True)
GEMINI_ANSWER = SchemaRules(bare_references=True)

# `parameters` is an object with `type: object`, required and properties: https://docs.ollama.com/api/chat
OLLAMA_FUNCTION = SchemaRules(is_object=True, not_on_top=frozenset(("oneOf", "anyOf", "allOf")))
