"""Passwords that everybody tries first, of twelve characters or more; shorter ones are refused for their length.

They are the long ones of well-known lists of leaked passwords. `COMMON_LETTERS` are refused with digits and marks behind them, too.
Everything here is casefolded and without blanks.
"""

from __future__ import annotations

from typing import Final

_LETTERS: Final = """
password passwords passw0rd p@ssword p@ssw0rd passwort motdepasse contrasena qwerty qwertyuiop qwertyuiopasdf asdfghjkl asdfghjklzxcvbnm
qwertyuiopasdfghjklzxcvbnm qazwsxedc qazwsxedcrfv zxcvbnm iloveyou letmein letmeinplease welcome welcomehome administrator admin
adminadmin changeme changemeplease changeit default trustno sunshine princess football baseball basketball superman spiderman starwars
dragon monkey shadow master michael jennifer computer internet whatever trading trader bitcoin ethereum cryptocurrency tothemoon
correcthorsebatterystaple thisismypassword mypassword mypasswordis secret secretpassword topsecret opensesame abracadabra
passwordpassword qwertyqwerty loveyouforever foreverandever liverpool manchesterunited barcelona realmadrid juventus test testtest
testpassword testing guest guestguest user username root rootroot toortoor summer winter spring autumn
"""
COMMON_LETTERS: Final = frozenset(_LETTERS.split())

_WHOLE: Final = """
1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1q2w3e4r5t6y7u8i9o0p 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qaz2wsx3edc4rfv5tgb qaz123wsx456
q1w2e3r4t5y6 q1w2e3r4t5y6u7 q1w2e3r4t5y6u7i8 zaq12wsxcde3 zaq1xsw2cde3 1qazxsw23edc 1qazxsw23edcvfr4 !qaz2wsx#edc qwe123qwe123
qweasdzxc123 qwer1234asdf qwer1234qwer qwertyuiop12 qwertyuiop[] asdf1234asdf zxcvbnmasdfghjkl 123qweasdzxc 123456qwerty 123456789qwe
123456789abc 1234567890qw 1234567890abc abc123456789 abcd12345678 a1b2c3d4e5f6 aa1234567890 password1234 password12345 password123456
password2024 password2025 password2026 password123! p@ssword1234 p@ssw0rd1234 passw0rd1234 pa$$word1234 pass1234word 1234password
123456password iloveyou1234 iloveyou2000 iloveyouforever iloveyousomuch letmein12345 welcome12345 welcome1234! admin1234567
admin123456789 administrator1 changeme1234 changeme2025 qwerty123456 qwerty1234567 qwerty12345678 qwerty123456789 qwerty654321
123321123321 112233445566 123123123123 147258369147 159753159753 741852963741 789456123789 987654321987 102030405060 135792468013
314159265358 3.1415926535 271828182845 000111222333 111222333444 999888777666 superman1234 batman123456 dragon123456 monkey123456
football1234 baseball1234 princess1234 sunshine1234 michael12345 charlie12345 jordan231234 liverpool123 chelsea12345 bitcoin12345
bitcoin123456 ethereum1234 satoshinakamoto hodlhodlhodl tothemoon123 buythedip1234 tradingview1 binance12345 bybit1234567
"""
COMMON_PASSWORDS: Final = frozenset(_WHOLE.split())
