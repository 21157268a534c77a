"""What a run is asked to do: settings as frozen dataclasses, checked."""
