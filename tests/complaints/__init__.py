"""Complaints of users of LLM gateways, each with bytes like those that were reported, through the whole proxy."""
