"""The page itself: HTML, style and scripts, put together by `halluc.report.html_page`."""
