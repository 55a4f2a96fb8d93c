"""The conformance suite: the matrix of frontends, providers and stories, played over HTTP and checked on both sides."""
