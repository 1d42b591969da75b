### Замечания: предложение с цифрами для каждой версии правила.

finding-L6-v1 = { $case ->
    [reached] По строке билета на { $permitted_m3 } м³ замаркировано { $marked_m3 } м³: достигнуто { $reached_percent } %.
   *[over] По строке билета на { $permitted_m3 } м³ замаркировано { $marked_m3 } м³; допуск { $tolerance_percent } % ({ $tolerance_table }).
}
finding-L8-v2 = { $case ->
    [country] Точка { $position } лежит за пределами Казахстана более чем на { $margin_km } км.
   *[plot] Точка { $position } лежит в { $distance_m } м за границей лесосеки билета; её точность { $accuracy_m } м.
}
finding-L13-v2 = { $case ->
    [pieces] { $declared_m3 } м³ { $wood ->
        [brushwood] хвороста
       *[firewood] дров
    }, штук: { $pieces }, — это больше { $limit_m3 } м³ на штуку.
    [stack] Куски штабеля { $wood ->
        [brushwood] хвороста
       *[firewood] дров
    } имеют { $diameter_cm } см и { $length_m } м.
   *[log] Бревно { $diameter_cm } см и { $length_m } м объявлено { $wood ->
        [brushwood] хворостом
       *[firewood] дровами
    }.
}
finding-L14-v2 = { $case ->
    [sum] { $logs ->
        [one] На { $logs } бревно этого билета заявлено { $declared_m3 } м³ по таблице; { $table } даёт для него { $table_m3 } м³ ({ $deviation } %).
        [few] На { $logs } бревна этого билета заявлено { $declared_m3 } м³ по таблице; { $table } даёт для них { $table_m3 } м³ ({ $deviation } %).
       *[other] На { $logs } брёвен этого билета заявлено { $declared_m3 } м³ по таблице; { $table } даёт для них { $table_m3 } м³ ({ $deviation } %).
    }
   *[log] Заявлено { $declared_m3 } м³ способом { $method }; { $table } даёт { $table_m3 } м³ ({ $deviation } %).
}
finding-table-not-covered-v1 = Заявлено { $declared_m3 } м³ способом { $method }; в { $table } нет значения для { $diameter_cm } см и { $length_m } м.
finding-logs-as-stack-v1 = { $declared_m3 } м³ деловой древесины, штук: { $pieces }, — это больше { $limit_m3 } м³ на штуку.
finding-L23-v1 = { $days ->
    [one] Записано через { $days } день после события ({ $occurred_at }).
    [few] Записано через { $days } дня после события ({ $occurred_at }).
   *[other] Записано через { $days } дней после события ({ $occurred_at }).
}
finding-small-piece-v1 = { $case ->
    [both] Одиночный кусок толщиной { $diameter_cm } см и длиной { $length_m } м; тоньше 14 см или короче 2 м идёт в штабель.
    [thin] Одиночный кусок толщиной { $diameter_cm } см; тоньше 14 см или короче 2 м идёт в штабель.
   *[short] Одиночный кусок длиной { $length_m } м; тоньше 14 см или короче 2 м идёт в штабель.
}
finding-out-of-order-v1 = Это произошло { $occurred_at }, раньше последней записи об этом бревне.
finding-inspection-mismatch-v1 = Инспектор нашёл не то бревно, которое записано.
finding-seal-missing-v1 = Инспектор не нашёл на бревне пломбы.
finding-seal-damaged-v1 = Инспектор нашёл пломбу повреждённой.
finding-lost-while-held-v1 = { $event ->
    [destroyed] Бревно записано уничтоженным, пока оно было задержано.
   *[lost] Бревно записано утраченным, пока оно было задержано.
}
finding-decision-reversed-v1 =
    Решение по замечанию правила { $rule } изменено: подтверждённое признано { $state ->
        [explained] объяснённым
       *[false] ложным
    }.
finding-observation-v1 = Инспектор обнаружил: { $what ->
        [unmarked_wood] древесину без маркировки
        [unknown_seal] пломбу, которая для этой древесины не зарегистрирована
        [no_papers] перевозку древесины без документов
       *[other] то, чего нет в записях
    }.
finding-citizen-report-v1 = Покупатель сообщил: { $what ->
        [wrong_species] порода не та, что в записи
        [wrong_size] размеры не те, что в записи
        [no_seal] пломбы нет
        [broken_seal] пломба сломана или держится слабо
       *[other] что-то не так, как в записи
    }.
finding-appeal-unanswered-v1 = { $days ->
    [one] Жалоба на решение по замечанию правила { $rule } ждёт ответа { $days } день.
    [few] Жалоба на решение по замечанию правила { $rule } ждёт ответа { $days } дня.
   *[other] Жалоба на решение по замечанию правила { $rule } ждёт ответа { $days } дней.
}
finding-no-papers-v1 = { $lacks ->
    [carrier] Бревно погружено, перевозчик не назван.
    [vehicle] Бревно погружено, машина не названа.
    [carrier_and_vehicle] Бревно погружено, ни перевозчик, ни машина не названы.
   *[document] Бревно отправлено, документ не назван.
}
finding-closing-reversed-v1 = Событие ({ $event }) отменено: бревно снова в обороте.
finding-L18-v1 = { $case ->
    [annulled] Аннулированием со строки в { $permitted_m3 } м³ снято { $returned_m3 } м³; возвратов объёма по этому билету прежде: { $earlier }.
    [moved] Со строки в { $permitted_m3 } м³ перенесено { $returned_m3 } м³ на { $species } ({ $wood }); возвратов объёма по этому билету прежде: { $earlier }.
   *[corrected] Исправлением со строки в { $permitted_m3 } м³ снято { $returned_m3 } м³; возвратов объёма по этому билету прежде: { $earlier }.
}
finding-no-allowable-cut-v2 = { $case ->
    [own] У выдавшего билет нет расчётной лесосеки на { $years }, а билет на { $volume_m3 } м³ он выдал самому себе.
    [large] У выдавшего билет нет расчётной лесосеки на { $years }; { $volume_m3 } м³ — больше { $limit_m3 } м³.
   *[small] У выдавшего билет нет расчётной лесосеки на { $years }.
}
finding-ticket-after-felling-v1 = { $case ->
    [extended] { $days ->
        [one] Билет продлён до { $felling_until } через { $days } день после конца срока ({ $ended_on }).
        [few] Билет продлён до { $felling_until } через { $days } дня после конца срока ({ $ended_on }).
       *[other] Билет продлён до { $felling_until } через { $days } дней после конца срока ({ $ended_on }).
    }
    [ended] Билет получен, когда его срок, с { $felling_from } по { $felling_until }, уже истёк.
   *[began] { $days ->
        [one] Билет получен через { $days } день после первого дня рубки, { $felling_from }.
        [few] Билет получен через { $days } дня после первого дня рубки, { $felling_from }.
       *[other] Билет получен через { $days } дней после первого дня рубки, { $felling_from }.
    }
}
finding-harvest-in-ban-v1 = Срублено { $felled_on }, в день, когда рубка там запрещена.
finding-area-unlike-plot-v1 = В билете указано { $stated_ha } га, площадь участка { $plot_ha } га.
finding-plots-overlap-v1 = Участок перекрывается на { $shared_ha } га ({ $share_percent } % меньшего) с участком билета { $ticket }.
finding-plot-replaced-v1 = { $case ->
    [after] Участок билета ({ $had_ha } га) после первой заготовки заменён участком в { $has_ha } га.
   *[before] Участок билета ({ $had_ha } га) до первой заготовки заменён участком в { $has_ha } га.
}
finding-export-unspecified-v1 = { $lacks ->
    [country] В записи о вывозе не указана страна.
    [hs] В записи о вывозе не указан код ТН ВЭД.
   *[country_and_hs] В записи о вывозе не указаны ни страна, ни код ТН ВЭД.
}
finding-export-permit-v1 = Вывезено по разрешению { $permit } во время запрета на вывоз (документ { $document }).
finding-export-before-ban-v1 = Вывоз от { $exported_on } записан после запрета (документ { $document }).
finding-sale-without-buyer-v1 = В продаже не названы ни покупатель, ни документ.
finding-from-suspended-v1 = Древесина принята от организации, деятельность которой приостановлена.
finding-L3-v1 = { $case ->
    [species] Инспектор видел пломбу на древесине другой породы, чем записано.
    [both] Инспектор видел пломбу на древесине другой породы и других размеров, чем записано.
   *[measures] Инспектор видел пломбу на древесине других размеров, чем записано.
}
finding-L4-v1 = { $case ->
    [annulled] Событие ({ $event }) записано о бревне, запись о котором аннулирована: его пломба в ходу.
    [void] Пломба { $seal } была недействительна ({ $reason }) до того, как её установили.
    [seen] Пломба { $seal } найдена на бревне после записи о ней: { $reason }.
    [twice] Пломба { $seal } раньше была на другом бревне.
    [checked] Пломбу { $seal } с записью «{ $reason }» { $day } проверили { $checks } раз, не меньше { $blocks } человек.
   *[stock] Пломба { $seal } была в запасе другой организации.
}
finding-L5-v2 = { $case ->
    [closed] Инспектор проверил код через { $days } дн. после записи { $event } о его бревне.
    [checked] Код бревна с записью { $event } { $day } проверили { $checks } раз, не меньше { $blocks } человек.
    [burst] Код { $day } проверили { $checks } раз, не меньше { $blocks } человек.
   *[far] Между событиями { $first } и { $second } не меньше { $distance_km } км и только { $hours } ч; одно из них — проверка.
}
finding-L9-v2 = { $case ->
    [removed] Древесина вывезена из леса { $removed_on }; срок вывозки окончился { $removal_until }.
   *[left] Брёвен в лесу, когда { $removal_until } окончился срок вывозки: { $logs }.
}
finding-L10-v1 = { $case ->
    [cancelled] Бревно заготовлено { $felled_on }, после отмены билета.
    [before] Бревно заготовлено { $felled_on }, до срока билета.
   *[after] Бревно заготовлено { $felled_on }, после срока билета.
}
finding-ticket-cancelled-v1 = Древесина вывезена из леса { $removed_on }; билет отменён { $cancelled_on }.
finding-impossible-journey-v2 = Между событиями { $first } и { $second } не меньше { $distance_km } км и только { $hours } ч.
finding-L15-v1 = { $case ->
    [digits] Из { $logs } брёвен одного человека на { $excess_percent } % больше с круглым диаметром, чем с соседними.
   *[series] Из { $logs } брёвен одного человека { $share_percent } % повторяют размеры пяти брёвен подряд.
}
finding-L16-v1 = { $case ->
    [night] Один человек маркировал брёвна между 22:00 и 04:00; таких ночей за месяц: { $nights }.
    [yard] Брёвен, которые один человек маркировал на складе, где организация принимает древесину: { $logs }.
   *[rate] { $day } один человек маркировал { $logs_an_hour } брёвен за час.
}
finding-L17-v1 = { $case ->
    [stock] Остаток породы { $species } составляет { $balance_m3 } м³: ушло больше, чем пришло.
   *[log] Событие { $event } записала организация, у которой тогда не было этого бревна.
}
finding-L18-repeated-v1 = Исправлений за месяц, вернувших объём: { $corrections }, всего { $given_back_m3 } м³ из { $harvested_m3 } м³.
finding-hold-overdue-v1 = Остановка билета окончилась { $until }; её не продлили и не сняли.
finding-traded-unsealed-v1 = { $event ->
    [transferred] Бревно передано после того, как инспектор установил, что пломбы нет или она повреждена, и до её замены.
    [exported] Бревно вывезено после того, как инспектор установил, что пломбы нет или она повреждена, и до её замены.
   *[sold] Бревно продано после того, как инспектор установил, что пломбы нет или она повреждена, и до её замены.
}
