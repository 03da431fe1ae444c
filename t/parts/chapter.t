# Chapters of 100 KB: in order, joined as they were cut.

use strict;
use warnings;
use v5.36;
use utf8;

use Encode qw(encode);
use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;
use Time::HiRes qw(time);
use CompletionAsync::Test;

binmode $_, ':encoding(UTF-8)' for map { Test::More->builder->$_ } qw(output failure_output);

my $t = CompletionAsync::Test->new(timeout => 300, emulator => { delay => 1 });

$t->run_location(
    zone     => '16m',
    provider => '%%PROVIDER%% submit_rate 20r/s; submit_queue 100 60s;',
    location => 'completion_async_split 3k; completion_async_wait 120s;',
);

my %SENTENCES = (
    English => [
        'It was a bright cold day in April, and the clocks were striking thirteen.',
        'Dr. Brown, i.e. the elder one, said: "What of it?" Nobody answered.',
        'The <b>hall</b> smelt of <a href="/cabbage">boiled cabbage</a> &amp; old mats.',
        'It rose by 3.14 per cent!',
    ],
    Russian => [
        'Был холодный ясный апрельский день, и часы пробили тринадцать.',
        'Проф. Иванов, т.е. старший, сказал: «Ну и что?» Никто не ответил.',
        'В <b>вестибюле</b> пахло варёной капустой &mdash; и старыми половиками…',
        'Стало на 3.14 процента больше!',
    ],
    Chinese => [
        '四月间，天气寒冷晴朗，钟敲了十三下。', '他说：“那又怎么样？”没有人回答。',
        '门厅里有一股熬白菜和旧地席的气味。', '真的！',
    ],
);


sub chapter ($language) {
    my @sentences = $SENTENCES{$language}->@*;
    my $between   = $language eq 'Chinese' ? '' : ' ';
    my ($text, $n) = ('', 0);

    while (length encode('UTF-8', $text) < 100_000) {
        my $long = 3 + $n % 9;
        $text .= "\n\n" if $n;
        $text .= join $between, map { $sentences[ ($n + $_) % @sentences ] } 1 .. $long;
        $n++;
    }
    return $text;
}


for my $language (sort keys %SENTENCES) {
    subtest $language => sub {
        my $text  = chapter($language);
        my $began = time;
        my $r = $t->request(
            POST    => '/translate',
            headers => { 'Content-Type' => 'text/plain', Prefer => 'wait=120',
                Accept => 'text/plain' },
            body    => encode('UTF-8', $text),
            timeout => 130,
        );
        my $took  = time - $began;
        my @parts = map { $_->{json}{messages}[-1]{text} } $t->emulator->submits;

        is $r->{status}, 200, 'is answered' or diag $r->{body};
        is scalar(grep { length(encode('UTF-8', $_)) > 3072 } @parts), 0, 'no part is too long';
        cmp_ok scalar(@parts), '>=', 33, 'all of it is asked for';
        is scalar(grep { !/[.!?…。！？][”»"]?$/ } @parts), 0, '... cut where sentences end';

        my $joined = $r->text;
        is scalar($joined =~ s/echo: //g), scalar @parts, 'each part has its answer';
        ok $joined eq $text, '... and they are the text, joined';

        note sprintf '%d parts in %.1f s, at 20 a second and 1 s each', scalar @parts, $took;
        $t->emulator->reset;
        $t->emulator->set(delay => 1);
    };
}

$t->done;
