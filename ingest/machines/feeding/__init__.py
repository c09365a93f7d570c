"""From the bytes of images to batches on a device.

preparing.py makes of one image what networks see (jpegs.py where another decoder is asked for), ahead.py has that done
on threads or in processes before it is asked for, batches.py takes what they made and gives it to the networks,
staging.py brings it to the device and what the networks gave back.
"""
