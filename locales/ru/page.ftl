### Страницы для покупателей и граждан.

brand-tagline = Маркировка и прослеживание древесины
skip = Перейти к ответу
language = Язык
footer-note = Проверить пломбу может каждый, бесплатно и без регистрации.
footer-api = Для разработчиков
footer-check = Проверить пломбу

title-verdict = { $verdict } – { $code }
ask-label = Номер пломбы или код маркировки
ask-button = Проверить
ask-title = Проверьте пломбу
ask-lead = Введите номер с пломбы, прежде чем покупать. Ответ придёт сразу.
ask-where-title = Где номер?
ask-where-seal = В каждое учтённое бревно забита пластиковая пломба. Номер напечатан на ней.
ask-where-code = Рядом с номером есть квадратный код. Его можно считать камерой телефона.
ask-where-broken = Если пломбу вытащить, она сломается. Сломанной или шатающейся пломбе не верьте.
ask-empty = Введите номер с пломбы.
ask-unreadable = Такого номера у пломбы быть не может. Введите его точно так, как он напечатан.
ask-another = Проверить другую пломбу
ask-again = Попробуйте ещё раз

compare-title = { $kind ->
    [stack] Сравните со штабелем перед вами
   *[log] Сравните с бревном перед вами
}
compare-lead = { $kind ->
    [stack] Должно совпасть всё. Если хоть что-то отличается, пломба может быть от другого штабеля.
   *[log] Должно совпасть всё. Если хоть что-то отличается, пломба может быть от другого бревна.
}
record-title = { $kind ->
    [stack] Что записано об этом штабеле
   *[log] Что записано об этом бревне
}
seal = Номер пломбы
hint-seal = На пломбе тот же номер. Она цела и сидит прочно.
species = Порода
hint-species = Кора и древесина этой породы.
length = Длина
hint-length = Измерена от торца до торца.
diameter = Диаметр тонкого конца
hint-diameter = Измерен поперёк тонкого конца, без коры.
pieces = В штабеле
pieces-count = { $count ->
    [one] { $count } бревно
    [few] { $count } бревна
    [many] { $count } брёвен
   *[other] { $count } бревна
}
hint-pieces = Пересчитайте.
metres = { $value } м
centimetres = { $value } см
cubic-metres = { $value } м³

origin-title = Откуда древесина
volume = Объём
region = Регион
forestry = Лесничество
ticket = Лесорубочный билет
felled-on = Дата рубки
last-title = Где была в последний раз
status = Состояние
last-event = Последняя запись
holder = Держатель
checks-title = Что проверено
outcome-pass = Да:
outcome-fail = Нет:
outcome-unknown = Открыто:

mismatch-title = Если что-то не совпадает
doubt-title = Что делать
do-not-buy = Не покупайте эту древесину.
do-note = Запишите или сфотографируйте пломбу, машину и место.
do-tell = Сообщите в территориальную инспекцию лесного хозяйства и животного мира вашей области.
checked-at = Проверено { $when }
checked-again = Ответ верен на этот момент. Проверьте ещё раз перед оплатой.
code = Код

start-title = Путь каждого бревна: из леса к покупателю
start-lead = На каждом учтённом бревне есть пломба со своим номером. Введите его и увидите, законный ли это товар, как должно выглядеть бревно и где оно срублено.
start-how = Как это устроено
start-step-seal = Пломба в лесу
start-step-seal-text = Там, где срублено дерево, в бревно забивают пломбу с номером. Целой её уже не вытащить.
start-step-record = Запись сразу
start-step-record-text = Вместе с пломбой записывают породу, размеры и лесорубочный билет. Записанное вычитается из объёма по билету.
start-step-follow = Весь путь виден
start-step-follow-text = К записи добавляют погрузку, перевозку, хранение и продажу. Записанное никогда не переписывают.
start-step-check = Проверяете вы
start-step-check-text = Сравните запись с бревном перед вами. Если они различаются, не покупайте.
start-offices = Для организаций
start-offices-text = О заготовке, перевозке и продаже сообщают через открытый интерфейс.
start-docs = Описание интерфейса
start-openapi = Машиночитаемое описание (OpenAPI)

error-404-title = Страница не найдена
error-404-text = Такой страницы нет. Чтобы проверить пломбу, введите её номер здесь.
error-429-title = Слишком много проверок
error-429-text = Из вашей сети пришло слишком много проверок. С пломбой это не связано. Подождите немного.
error-503-title = Сейчас недоступно
error-503-text = Сервис сейчас не может ответить. О пломбе это ничего не говорит. Попробуйте ещё раз.
error-other-title = Что-то пошло не так
error-other-text = Страницу не удалось показать. О пломбе это ничего не говорит. Попробуйте ещё раз.
error-retry = { $seconds ->
    [one] Можно повторить через { $seconds } секунду.
    [few] Можно повторить через { $seconds } секунды.
    [many] Можно повторить через { $seconds } секунд.
   *[other] Можно повторить через { $seconds } секунды.
}
error-request = Номер этого запроса, если будете нам писать
error-status = Ошибка { $status }

date-moment = { $date }, { $time } (время Казахстана, UTC+5)

state-at_felling = На лесосеке
state-stored = На складе
state-loaded = Погружено
state-in_transit = В пути
state-arrived = Прибыло
state-received = Принято
state-processed = Переработано
state-exported = Вывезено на экспорт
state-sold = Продано
state-destroyed = Уничтожено
state-lost = Утеряно
state-other = Другое

event-harvested = Срублено и опломбировано
event-stored = Помещено на склад
event-loaded = Погружено
event-departed = Отправлено в путь
event-arrived = Прибыло
event-received = Принято
event-transferred = Предложено новому держателю
event-accepted = Принято новым держателем
event-rejected = Новый держатель отказался
event-withdrawn = Передача отозвана
event-inspected = Проверено инспектором
event-processed = Переработано
event-exported = Вывезено на экспорт
event-sold = Продано
event-lost = Сообщено об утере
event-destroyed = Уничтожено
event-found = Найдено
event-seal_replaced = Пломба заменена
event-seal_voided = Пломба аннулирована
event-corrected = Запись исправлена
event-other = Внесена запись
