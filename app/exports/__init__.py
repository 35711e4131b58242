"""Lists as files to take away: csv and xlsx, streamed with flat memory, safe to open in a spreadsheet (U8, S4).

What a list is made of: columns.py. Which lists there are, and who may take them: app/web/downloads.py.
"""
