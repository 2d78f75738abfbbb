"""The methods: how the parts are connected."""
