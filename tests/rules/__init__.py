"""Tests of lxt_like.rules."""
