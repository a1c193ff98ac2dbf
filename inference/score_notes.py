"""How the scores are made, in the words that every report shows."""

from __future__ import annotations

from typing import Final

NOTES: Final = (
    "Reference episodes meet the definitions of docs/alarms.md. Where beats are annotated (mitdb): "
    "asystole is an R-R interval over 4 s; extreme bradycardia 5 beats under 40/min; extreme "
    "tachycardia 17 beats over 140/min; ventricular tachycardia 5 or more V or E beats at 100/min or "
    "more; fibrillation and flutter are rhythm marks of at least 4 s. Where only rhythms are marked "
    "(vfdb): marks of at least 4 s.",
    "An episode is answered by an alarm of its own or a graver kind (ventricular tachycardia by extreme "
    "tachycardia, too, and so told apart in the tables) that was active between its onset and 10 s "
    "after its end; one that was active at the onset answers at once. Delays run from the onset (the "
    "last beat before a pause, the first beat of a run) to the data that raised the alarm. 17 beats at "
    "140/min alone take 6.9 s, so that 'within 10 s of the definition' is given, too.",
    "False is a high-priority alarm that was raised at no episode that explains it (10 s before its "
    "onset, if it lasted until there, to 10 s after its end). On records with rhythm marks alone, "
    "pauses and rates are unlabelled: such alarms are listed as not scored, and so are alarms at marks "
    "under 4 s. A record of CinC 2015 has one label, of the device's alarm at 300 s: where it is true "
    "and the record goes on for 10 s, the monitor's answering alarm must be active within 10 s of it; "
    "its other alarms are not scored.",
    "Intervals are exact, 95 %: Clopper-Pearson for shares, Garwood for counts. Episodes of one record "
    "are not independent, so that those of shares are too narrow where few records hold most episodes.",
    "The monitor's answer to a device's alarm uses data up to 300 s only. The verdict's figures on "
    "records that it was fitted on are no measure of it: the cross-validated one is in "
    "docs/results/verdict.md.",
    "overload=queue: records are played second by second on their own clock, and nothing is dropped. "
    "Samples go in as the wire would deliver them, without being encoded and decoded.",
)
