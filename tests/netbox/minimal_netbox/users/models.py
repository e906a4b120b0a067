"""users.User: its row, password hash included, travels in every job."""

from django.contrib.auth.models import AbstractUser


class User(AbstractUser):
    """NetBox's own user model."""
