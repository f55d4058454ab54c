"""The operators' screens, the JSON API, live updates, sign-in and permissions."""
