"""Drills: what must hold when programs race, crash and lose their cache."""
