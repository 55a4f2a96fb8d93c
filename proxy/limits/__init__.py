"""Limits of requests, tokens, money and requests at once: bounds, their counters, and reservations on several at once.

The algorithm is a sliding window: at every moment what was reserved in the last period is at most the limit. A window
has a thousand slots, so it takes bounded memory, and what was reserved counts for up to a thousandth of the period
longer, never shorter. Libraries of rate limits take no clock and give nothing back, which a settled reservation does.
"""
