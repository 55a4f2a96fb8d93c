"""What users of LLM gateways complain about, each with bytes like those that were reported, through the whole proxy."""
