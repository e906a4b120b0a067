"""As much of NetBox as the package needs to be imported; what NetBox does is tested against NetBox itself."""

from django.apps import AppConfig


class PluginConfig(AppConfig):
    @classmethod
    def validate(cls, user_config, netbox_version):
        pass
