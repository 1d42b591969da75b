### Findings: one sentence with the figures for each version of a rule.

finding-L6-v1 = { $case ->
    [reached] { $marked_m3 } m³ are marked on a line of { $permitted_m3 } m³: { $reached_percent } % is reached.
   *[over] { $marked_m3 } m³ are marked on a line of { $permitted_m3 } m³; the tolerance is { $tolerance_percent } % ({ $tolerance_table }).
}
finding-L8-v2 = { $case ->
    [country] The position { $position } lies outside Kazakhstan by more than { $margin_km } km.
   *[plot] The position { $position } lies { $distance_m } m outside the ticket's plot; its accuracy is { $accuracy_m } m.
}
finding-L13-v2 = { $case ->
    [pieces] { $declared_m3 } m³ of { $wood ->
        [brushwood] brushwood
       *[firewood] firewood
    } in { $pieces } pieces are more than { $limit_m3 } m³ a piece.
    [stack] The pieces of a stack of { $wood ->
        [brushwood] brushwood
       *[firewood] firewood
    } have { $diameter_cm } cm and { $length_m } m.
   *[log] A log of { $diameter_cm } cm and { $length_m } m is declared { $wood ->
        [brushwood] brushwood
       *[firewood] firewood
    }.
}
finding-L14-v2 = { $case ->
    [sum] { $logs ->
        [one] { $logs } log of this ticket has { $declared_m3 } m³, declared to be from the table; { $table } has { $table_m3 } m³ for it ({ $deviation } %).
       *[other] { $logs } logs of this ticket have { $declared_m3 } m³, declared to be from the table; { $table } has { $table_m3 } m³ for them ({ $deviation } %).
    }
   *[log] { $declared_m3 } m³ are declared by { $method }; { $table } has { $table_m3 } m³ ({ $deviation } %).
}
finding-table-not-covered-v1 = { $declared_m3 } m³ are declared by { $method }; { $table } has no value for { $diameter_cm } cm and { $length_m } m.
finding-logs-as-stack-v1 = { $declared_m3 } m³ of commercial wood in { $pieces } pieces are more than { $limit_m3 } m³ a piece.
finding-L23-v1 = { $days ->
    [one] It was recorded { $days } day after it happened ({ $occurred_at }).
   *[other] It was recorded { $days } days after it happened ({ $occurred_at }).
}
finding-small-piece-v1 = { $case ->
    [both] A single piece is { $diameter_cm } cm thin and { $length_m } m short; below 14 cm or 2 m it goes in a stack.
    [thin] A single piece is { $diameter_cm } cm thin; below 14 cm or 2 m it goes in a stack.
   *[short] A single piece is { $length_m } m short; below 14 cm or 2 m it goes in a stack.
}
finding-out-of-order-v1 = It happened { $occurred_at }, before the last event recorded of this log.
finding-inspection-mismatch-v1 = An inspector found another log than the one recorded.
finding-seal-missing-v1 = An inspector found no seal on the log.
finding-seal-damaged-v1 = An inspector found the seal damaged.
finding-lost-while-held-v1 = { $event ->
    [destroyed] The log was recorded as destroyed while it was held.
   *[lost] The log was recorded as lost while it was held.
}
finding-decision-reversed-v1 =
    The decision on a finding of rule { $rule } was changed from confirmed to { $state ->
        [explained] explained
       *[false] false
    }.
finding-observation-v1 = An inspector observed { $what ->
        [unmarked_wood] wood without marks
        [unknown_seal] a seal that is not registered for this wood
        [no_papers] wood moved without papers
       *[other] something that no record shows
    }.
finding-citizen-report-v1 = A buyer reported: { $what ->
        [wrong_species] the species is not that of the record
        [wrong_size] the measures are not those of the record
        [no_seal] there is no seal
        [broken_seal] the seal is broken or loose
       *[other] something is not as the record says
    }.
finding-appeal-unanswered-v1 = { $days ->
    [one] An appeal against the decision on a finding of rule { $rule } has waited for { $days } day.
   *[other] An appeal against the decision on a finding of rule { $rule } has waited for { $days } days.
}
finding-no-papers-v1 = { $lacks ->
    [carrier] The log was loaded, and no carrier is named.
    [vehicle] The log was loaded, and no vehicle is named.
    [carrier_and_vehicle] The log was loaded, and neither carrier nor vehicle is named.
   *[document] The log departed, and no document is named.
}
finding-closing-reversed-v1 = An event ({ $event }) was reversed: the log is in circulation again.
finding-L18-v1 = { $case ->
    [annulled] { $returned_m3 } m³ left a line of { $permitted_m3 } m³ by an annulment; corrections of this ticket returned volume before: { $earlier }.
    [moved] { $returned_m3 } m³ moved from a line of { $permitted_m3 } m³ to { $species } ({ $wood }); corrections of this ticket returned volume before: { $earlier }.
   *[corrected] { $returned_m3 } m³ left a line of { $permitted_m3 } m³ by a correction; corrections of this ticket returned volume before: { $earlier }.
}
finding-no-allowable-cut-v2 = { $case ->
    [own] The issuer has no allowable cut for { $years }, and issued this ticket of { $volume_m3 } m³ to itself.
    [large] The issuer has no allowable cut for { $years }; { $volume_m3 } m³ are more than { $limit_m3 } m³.
   *[small] The issuer has no allowable cut for { $years }.
}
finding-ticket-after-felling-v1 = { $case ->
    [extended] { $days ->
        [one] The ticket was extended until { $felling_until }, { $days } day after its term had ended ({ $ended_on }).
       *[other] The ticket was extended until { $felling_until }, { $days } days after its term had ended ({ $ended_on }).
    }
    [ended] The ticket was received when its term, { $felling_from } to { $felling_until }, was over.
   *[began] { $days ->
        [one] The ticket was received { $days } day after the first day of felling, { $felling_from }.
       *[other] The ticket was received { $days } days after the first day of felling, { $felling_from }.
    }
}
finding-harvest-in-ban-v1 = It was felled on { $felled_on }, a day on which felling is banned there.
finding-area-unlike-plot-v1 = The ticket states { $stated_ha } ha; its plot has { $plot_ha } ha.
finding-plots-overlap-v1 = Its plot shares { $shared_ha } ha ({ $share_percent } % of the smaller one) with that of ticket { $ticket }.
finding-plot-replaced-v1 = { $case ->
    [after] The plot of the ticket ({ $had_ha } ha) was replaced after the first harvest by one of { $has_ha } ha.
   *[before] The plot of the ticket ({ $had_ha } ha) was replaced before the first harvest by one of { $has_ha } ha.
}
finding-export-unspecified-v1 = { $lacks ->
    [country] The export states no country.
    [hs] The export states no HS code.
   *[country_and_hs] The export states neither country nor HS code.
}
finding-export-permit-v1 = It was exported by permit { $permit } while export is banned (document { $document }).
finding-export-before-ban-v1 = An export of { $exported_on } was recorded after it was banned (document { $document }).
finding-sale-without-buyer-v1 = The sale names neither a buyer nor a document.
finding-from-suspended-v1 = Timber was accepted from an organisation that is suspended.
finding-L3-v1 = { $case ->
    [species] An inspector saw the seal on wood of another species than recorded.
    [both] An inspector saw the seal on wood of another species and other measures than recorded.
   *[measures] An inspector saw the seal on wood of other measures than recorded.
}
finding-L4-v1 = { $case ->
    [annulled] An event ({ $event }) was recorded of an entry that is annulled: its seal is in use.
    [void] Seal { $seal } was void ({ $reason }) before it was put on.
    [seen] Seal { $seal } was found on the log after it was recorded as { $reason }.
    [twice] Seal { $seal } was on another log before.
    [checked] Seal { $seal }, recorded as { $reason }, was checked { $checks } times on { $day }, by at least { $blocks } persons.
   *[stock] Seal { $seal } was in the stock of another organisation.
}
finding-L5-v2 = { $case ->
    [closed] The code was checked by an inspector { $days } days after its log was recorded as { $event }.
    [checked] The code of a log recorded as { $event } was checked { $checks } times on { $day }, by at least { $blocks } persons.
    [burst] The code was checked { $checks } times on { $day }, by at least { $blocks } persons.
   *[far] Events { $first } and { $second } are at least { $distance_km } km and only { $hours } h apart, and one of them is an inspection.
}
finding-L9-v2 = { $case ->
    [removed] The wood left the forest on { $removed_on }; the term of removal ended on { $removal_until }.
   *[left] Logs still in the forest when the term of removal ended on { $removal_until }: { $logs }.
}
finding-L10-v1 = { $case ->
    [cancelled] The log was felled on { $felled_on }, after its ticket was cancelled.
    [before] The log was felled on { $felled_on }, before the ticket's term.
   *[after] The log was felled on { $felled_on }, after the ticket's term.
}
finding-ticket-cancelled-v1 = The wood left the forest on { $removed_on }; its ticket was cancelled on { $cancelled_on }.
finding-impossible-journey-v2 = Events { $first } and { $second } are at least { $distance_km } km and only { $hours } h apart.
finding-L15-v1 = { $case ->
    [digits] Of { $logs } logs of one person, { $excess_percent } % more have a round diameter than the diameters beside it.
   *[series] Of { $logs } logs of one person, { $share_percent } % repeat the measures of five logs one after another.
}
finding-L16-v1 = { $case ->
    [night] One person marked logs between 22:00 and 04:00 in several nights of the month: { $nights }.
    [yard] Logs that one person marked at a yard where the organisation takes wood over: { $logs }.
   *[rate] On { $day } one person marked { $logs_an_hour } logs in an hour.
}
finding-L17-v1 = { $case ->
    [stock] The stock of { $species } is { $balance_m3 } m³: more went out than came in.
   *[log] The event { $event } was recorded by an organisation that did not have the log then.
}
finding-L18-repeated-v1 = Corrections of a month that gave volume back: { $corrections }, with { $given_back_m3 } m³ of { $harvested_m3 } m³.
finding-hold-overdue-v1 = The hold of the ticket ended on { $until } and was neither extended nor released.
finding-traded-unsealed-v1 = { $event ->
    [transferred] The log was transferred after an inspector had found its seal missing or damaged, and before it was replaced.
    [exported] The log was exported after an inspector had found its seal missing or damaged, and before it was replaced.
   *[sold] The log was sold after an inspector had found its seal missing or damaged, and before it was replaced.
}
