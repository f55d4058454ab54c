"""Revenue of apps: subscribers from RevenueCat, and the upkeep of the event tables.

    revenuecat_sync       by hand           what RevenueCat knows of a project's users goes into their properties
    revenuecat_sync_all   daily 03:00 UTC   one such sync for each project that has an integration
    db_pruning            hourly            the oldest events go while the database is above its size limit
    soft_delete_cleanup   daily 03:00 UTC   what was marked as deleted a week ago goes for good, its events first
    partition_creation    daily 04:00 UTC   the event tables' partitions of this month and the next two

A run whose worker died fails with "Server restarted during execution"; each job goes on from what is in the tables.
"""
