A write to the API that finds the disk full is refused with ``507`` and what to do, and works again once there is space.
