"""Attribution methods: each explains a score with a map over the image's pixels."""
