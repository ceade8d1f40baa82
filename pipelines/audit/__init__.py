"""wikiloom audit: does training see what it must not, and what gives the answers away?"""

from pipelines.audit.report import Report, audit
from pipelines.audit.show import print_report

__all__ = ["Report", "audit", "print_report"]
