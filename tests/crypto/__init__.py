"""Tests of tokens: strict JSON, compact JWS, and ID tokens as proof of the delegator."""
