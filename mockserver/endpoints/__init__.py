"""The endpoints beside the chat: embeddings, stored responses, version, and errors of unknown paths."""
