"""Laws whose pair force depends on the levels of categories, such as species."""
