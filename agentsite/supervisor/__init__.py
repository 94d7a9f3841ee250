"""`manage.py up`: everything a site is made of, as children of one process."""
