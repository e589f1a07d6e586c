"""Many runs as one: recipes x settings x folds x seeds, each in its folder, what they share made once."""
