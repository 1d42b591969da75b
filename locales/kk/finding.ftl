### Ескертулер: ереженің әр нұсқасына сандары бар бір сөйлем.

finding-L6-v1 = { $case ->
    [reached] Билеттің { $permitted_m3 } м³ жолында { $marked_m3 } м³ таңбаланған: { $reached_percent } %-ға жетті.
   *[over] Билеттің { $permitted_m3 } м³ жолында { $marked_m3 } м³ таңбаланған; рұқсат етілген ауытқу { $tolerance_percent } % ({ $tolerance_table }).
}
finding-L8-v2 = { $case ->
    [country] { $position } нүктесі Қазақстаннан { $margin_km } км-ден астам тыс жатыр.
   *[plot] { $position } нүктесі билеттің кеспеағаш шегінен { $distance_m } м тыс жатыр; оның дәлдігі { $accuracy_m } м.
}
finding-L13-v2 = { $case ->
    [pieces] { $pieces } дана { $wood ->
        [brushwood] шырпыда
       *[firewood] отында
    } { $declared_m3 } м³ бар: бір данаға { $limit_m3 } м³-ден көп.
    [stack] { $wood ->
        [brushwood] Шырпы
       *[firewood] Отын
    } қатары даналарының диаметрі { $diameter_cm } см, ұзындығы { $length_m } м.
   *[log] Диаметрі { $diameter_cm } см, ұзындығы { $length_m } м бөрене { $wood ->
        [brushwood] шырпы
       *[firewood] отын
    } деп жарияланған.
}
finding-L14-v2 = { $case ->
    [sum] Осы билеттің { $logs } бөренесіне кесте бойынша { $declared_m3 } м³ мәлімделген; { $table } бойынша { $table_m3 } м³ ({ $deviation } %).
   *[log] { $declared_m3 } м³ { $method } тәсілімен мәлімделген; { $table } бойынша { $table_m3 } м³ ({ $deviation } %).
}
finding-table-not-covered-v1 = { $declared_m3 } м³ { $method } тәсілімен мәлімделген; { $table } кестесінде { $diameter_cm } см және { $length_m } м үшін мән жоқ.
finding-logs-as-stack-v1 = { $pieces } дана іскер сүректе { $declared_m3 } м³ бар: бір данаға { $limit_m3 } м³-ден көп.
finding-L23-v1 = { $days ->
    [one] Оқиғадан { $days } күн өткен соң жазылған ({ $occurred_at }).
   *[other] Оқиғадан { $days } күн өткен соң жазылған ({ $occurred_at }).
}
finding-small-piece-v1 = { $case ->
    [both] Жеке кесектің жуандығы { $diameter_cm } см, ұзындығы { $length_m } м; 14 см-ден жіңішке немесе 2 м-ден қысқасы қатарға салынады.
    [thin] Жеке кесектің жуандығы { $diameter_cm } см; 14 см-ден жіңішке немесе 2 м-ден қысқасы қатарға салынады.
   *[short] Жеке кесектің ұзындығы { $length_m } м; 14 см-ден жіңішке немесе 2 м-ден қысқасы қатарға салынады.
}
finding-out-of-order-v1 = Бұл { $occurred_at } болған, яғни осы бөрене туралы соңғы жазбадан бұрын.
finding-inspection-mismatch-v1 = Инспектор жазылғаннан басқа бөрене тапты.
finding-seal-missing-v1 = Инспектор бөренеден пломба таппады.
finding-seal-damaged-v1 = Инспектор пломбаның зақымданғанын тапты.
finding-lost-while-held-v1 = { $event ->
    [destroyed] Бөрене тоқтатылып тұрғанда жойылған деп жазылды.
   *[lost] Бөрене тоқтатылып тұрғанда жоғалған деп жазылды.
}
finding-decision-reversed-v1 =
    { $rule } ережесінің ескертуі бойынша шешім өзгертілді: расталған ескерту { $state ->
        [explained] түсіндірілді
       *[false] жалған деп танылды
    }.
finding-observation-v1 = Инспектор анықтады: { $what ->
        [unmarked_wood] таңбаланбаған сүрек
        [unknown_seal] бұл сүрекке тіркелмеген пломба
        [no_papers] сүректі құжатсыз тасымалдау
       *[other] жазбаларда жоқ жайт
    }.
finding-citizen-report-v1 = Сатып алушы хабарлады: { $what ->
        [wrong_species] тұқымы жазбадағыдай емес
        [wrong_size] өлшемдері жазбадағыдай емес
        [no_seal] пломба жоқ
        [broken_seal] пломба сынған немесе бос тұр
       *[other] бірдеңе жазбадағыдай емес
    }.
finding-appeal-unanswered-v1 = { $rule } ережесінің ескертуі бойынша шешімге шағым { $days } күн жауапсыз тұр.
finding-no-papers-v1 = { $lacks ->
    [carrier] Бөрене тиелді, тасымалдаушы көрсетілмеген.
    [vehicle] Бөрене тиелді, көлік көрсетілмеген.
    [carrier_and_vehicle] Бөрене тиелді, тасымалдаушы да, көлік те көрсетілмеген.
   *[document] Бөрене жөнелтілді, құжат көрсетілмеген.
}
finding-closing-reversed-v1 = Оқиға ({ $event }) қайтарылды: бөрене қайта айналымда.
finding-L18-v1 = { $case ->
    [annulled] Жазбаны жою арқылы { $permitted_m3 } м³ жолдан { $returned_m3 } м³ алынды; бұған дейін осы билет бойынша қайтарулар: { $earlier }.
    [moved] { $permitted_m3 } м³ жолдан { $returned_m3 } м³ { $species } ({ $wood }) жолына көшірілді; бұған дейін осы билет бойынша қайтарулар: { $earlier }.
   *[corrected] Түзету арқылы { $permitted_m3 } м³ жолдан { $returned_m3 } м³ алынды; бұған дейін осы билет бойынша қайтарулар: { $earlier }.
}
finding-no-allowable-cut-v2 = { $case ->
    [own] Билет берушінің { $years } жылға есептік кеспеағашы жоқ, ал { $volume_m3 } м³ билетті ол өзіне берген.
    [large] Билет берушінің { $years } жылға есептік кеспеағашы жоқ; { $volume_m3 } м³ — { $limit_m3 } м³-ден көп.
   *[small] Билет берушінің { $years } жылға есептік кеспеағашы жоқ.
}
finding-ticket-after-felling-v1 = { $case ->
    [extended] Билет мерзімі аяқталғаннан ({ $ended_on }) кейін { $days } күн өткен соң { $felling_until } дейін ұзартылған.
    [ended] Билет мерзімі ({ $felling_from } – { $felling_until }) өтіп кеткен соң түскен.
   *[began] Билет кесудің бірінші күнінен ({ $felling_from }) кейін { $days } күн өткен соң түскен.
}
finding-harvest-in-ban-v1 = { $felled_on } күні кесілген, ол күні онда кесуге тыйым салынған.
finding-area-unlike-plot-v1 = Билетте { $stated_ha } га көрсетілген, учаскенің ауданы { $plot_ha } га.
finding-plots-overlap-v1 = Учаске { $ticket } билетінің учаскесімен { $shared_ha } га қабаттасады (кішісінің { $share_percent } %).
finding-plot-replaced-v1 = { $case ->
    [after] Билеттің учаскесі ({ $had_ha } га) алғашқы дайындаудан кейін { $has_ha } га учаскемен ауыстырылды.
   *[before] Билеттің учаскесі ({ $had_ha } га) алғашқы дайындауға дейін { $has_ha } га учаскемен ауыстырылды.
}
finding-export-unspecified-v1 = { $lacks ->
    [country] Әкету жазбасында ел көрсетілмеген.
    [hs] Әкету жазбасында СЭҚ ТН коды көрсетілмеген.
   *[country_and_hs] Әкету жазбасында ел де, СЭҚ ТН коды да көрсетілмеген.
}
finding-export-permit-v1 = Әкетуге тыйым салынған кезде { $permit } рұқсатымен әкетілді (құжат { $document }).
finding-export-before-ban-v1 = { $exported_on } күнгі әкету тыйым салынғаннан кейін жазылды (құжат { $document }).
finding-sale-without-buyer-v1 = Сатуда сатып алушы да, құжат та аталмаған.
finding-from-suspended-v1 = Сүрек қызметі тоқтатылған ұйымнан қабылданды.
finding-L3-v1 = { $case ->
    [species] Инспектор пломбаны жазылғаннан басқа түрлі ағаштан көрді.
    [both] Инспектор пломбаны түрі де, өлшемі де жазылғаннан басқа ағаштан көрді.
   *[measures] Инспектор пломбаны өлшемі жазылғаннан басқа ағаштан көрді.
}
finding-L4-v1 = { $case ->
    [annulled] Оқиға ({ $event }) жазбасы күшін жойған бөрене туралы жазылды: оның пломбасы қолданыста.
    [void] { $seal } пломбасы салынғанға дейін жарамсыз болған ({ $reason }).
    [seen] { $seal } пломбасы «{ $reason }» деп жазылғаннан кейін бөренеден табылды.
    [twice] { $seal } пломбасы бұрын басқа бөренеде болған.
    [checked] «{ $reason }» деп жазылған { $seal } пломбасы { $day } күні { $checks } рет тексерілді, кемінде { $blocks } адам.
   *[stock] { $seal } пломбасы басқа ұйымның қорында болған.
}
finding-L5-v2 = { $case ->
    [closed] Бөрене туралы { $event } жазылғаннан кейін { $days } күн өткен соң инспектор кодты тексерді.
    [checked] { $event } жазылған бөрененің коды { $day } күні { $checks } рет тексерілді, кемінде { $blocks } адам.
    [burst] Код { $day } күні { $checks } рет тексерілді, кемінде { $blocks } адам.
   *[far] { $first } және { $second } оқиғаларының арасы кемінде { $distance_km } км, ал уақыты тек { $hours } сағ; бірі — тексеру.
}
finding-L9-v2 = { $case ->
    [removed] Ағаш орманнан { $removed_on } күні шығарылды; шығару мерзімі { $removal_until } күні біткен.
   *[left] Шығару мерзімі { $removal_until } күні біткенде орманда қалған бөрене саны: { $logs }.
}
finding-L10-v1 = { $case ->
    [cancelled] Бөрене { $felled_on } күні, билет жойылғаннан кейін дайындалды.
    [before] Бөрене { $felled_on } күні, билет мерзіміне дейін дайындалды.
   *[after] Бөрене { $felled_on } күні, билет мерзімінен кейін дайындалды.
}
finding-ticket-cancelled-v1 = Ағаш орманнан { $removed_on } күні шығарылды; билеті { $cancelled_on } күні жойылған.
finding-impossible-journey-v2 = { $first } және { $second } оқиғаларының арасы кемінде { $distance_km } км, ал уақыты тек { $hours } сағ.
finding-L15-v1 = { $case ->
    [digits] Бір адамның { $logs } бөренесінде дөңгелек диаметр көршілес диаметрлерден { $excess_percent } %-ға көп.
   *[series] Бір адамның { $logs } бөренесінің { $share_percent } %-ы қатарынан бес бөрененің өлшемін қайталайды.
}
finding-L16-v1 = { $case ->
    [night] Бір адам 22:00 мен 04:00 аралығында бөрене таңбалады; айдағы ондай түн саны: { $nights }.
    [yard] Ұйым ағаш қабылдайтын қоймада бір адам таңбалаған бөрене саны: { $logs }.
   *[rate] { $day } күні бір адам бір сағатта { $logs_an_hour } бөрене таңбалады.
}
finding-L17-v1 = { $case ->
    [stock] { $species } түрінің қалдығы { $balance_m3 } м³: кіргеннен көп шыққан.
   *[log] { $event } оқиғасын ол кезде бұл бөренесі жоқ ұйым жазды.
}
finding-L18-repeated-v1 = Бір айда көлемді қайтарған түзету саны: { $corrections }, барлығы { $harvested_m3 } м³-ден { $given_back_m3 } м³.
finding-hold-overdue-v1 = Билеттің тоқтатылуы { $until } күні бітті; ұзартылмады да, алынбады да.
finding-traded-unsealed-v1 = { $event ->
    [transferred] Инспектор пломбаның жоқ немесе бүлінген екенін анықтағаннан кейін және ол ауыстырылмай тұрып, бөрене берілді.
    [exported] Инспектор пломбаның жоқ немесе бүлінген екенін анықтағаннан кейін және ол ауыстырылмай тұрып, бөрене экспортталды.
   *[sold] Инспектор пломбаның жоқ немесе бүлінген екенін анықтағаннан кейін және ол ауыстырылмай тұрып, бөрене сатылды.
}
