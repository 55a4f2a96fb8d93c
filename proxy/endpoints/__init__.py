"""The endpoints beside the chat: model lists, token counts, embeddings, stored responses, and routing explanations."""
