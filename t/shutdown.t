# The time that a quitting worker has: what does not fit ends, unsent.

use strict;
use warnings;
use v5.36;

use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use CompletionAsync::Test;

my $CONF = <<'EOC';
worker_processes 1;
%%MAIN%%
%%TEST_GLOBALS%%
events { %%EVENTS%% }
http {
    %%TEST_GLOBALS_HTTP%%
    %%HTTP%%
    completion_async_provider yandex {
        zone           operations 1m;
        poll_interval  100ms 500ms;
        %%LINES%%
    }
    server {
        listen 127.0.0.1:%%PORT%%;

        location /translate {
            completion_async       yandex;
            completion_async_model yandexgpt-lite;
        }
    }
}
EOC


sub run ($t, $lines, %more) {
    $t->define(MAIN => '', EVENTS => '', HTTP => '',
        %more,
        LINES => $t->expand($lines));
    $t->run($CONF);
    return $t;
}


sub start ($lines, %more) {
    my $t = CompletionAsync::Test->new(emulator => { delay => 60 });
    return run($t, "$lines %%PROVIDER%%", %more);
}


# A client whose submit the worker has read when this returns.
sub submit ($t, $text, $key = undef) {
    my %headers = ('Content-Type' => 'text/plain');
    $headers{'Idempotency-Key'} = $key if defined $key;
    my $client = $t->start(POST => '/translate', headers => \%headers, body => $text);
    is $t->request(GET => '/translate')->{status}, 405, "\"$text\" is under way";
    return $client;
}


subtest 'a promised submit with no time for its answer' => sub {
    my $t = start('submit_rate 1r/s; submit_queue 10; request_timeout 3s;', MAIN => '');
    $t->emulator->fault(submit => 'every', delay => 0.9);
    my @clients = map { submit($t, "text $_") } 1 .. 5;
    sleep 0.2;
    ok $t->reload(wait_old => 1), 'a reload';

    my @r = map { $_->response } @clients;
    my @accepted = grep { $_->{status} == 202 } @r;
    my @late = grep { $_->{status} == 429 && $_->header('Retry-After') > 0 } @r;
    note scalar(@accepted), ' accepted';
    is @accepted + @late, 5, 'each is accepted, or a 429 that says when';
    cmp_ok scalar @accepted, '>=', 1, 'some have their time';
    cmp_ok scalar @late, '>=', 1, 'and some have not';
    is scalar $t->emulator->submits, scalar @accepted, 'only those were sent';
    $t->done;
};


subtest 'a repeat has the time that it had before' => sub {
    my $t = start('submit_rate 1r/s; submit_queue 10; request_timeout 6s;', MAIN => '');
    my $emulator = $t->emulator;
    $emulator->fault(submit => 1, status => 503, retry_after => 2);
    $emulator->fault(submit => 4, silent => 1);
    my $began = time;
    my $client = submit($t, 'first');
    ok $emulator->wait_for(submit => 1), 'the first one is sent';
    # They are ahead of its repeat, which is promised a time while nginx quits.
    my @others = map { submit($t, "other $_") } 1, 2;
    ok $emulator->wait_for(submit => 3), 'and two others';
    kill QUIT => $t->master_pid;

    is $_->response->{status}, 202, 'accepted' for @others;
    is $client->response->{status}, 502, 'its second try has no answer';
    cmp_ok time - $began, '<', 7, 'within request_timeout';
    is scalar $emulator->submits, 4, 'it was sent';
    $t->done;
};


for my $method (qw(epoll poll select)) {
    subtest "a quitting worker sleeps: $method" => sub {
        my $probe = CompletionAsync::Test->new(emulator => 0);
        my (undef, $output) = $probe->nginx_t(
            "%%TEST_GLOBALS%%\nevents { use $method; }\nhttp { %%TEST_GLOBALS_HTTP%% }\n");
        plan skip_all => "this nginx has no $method" if $output =~ /invalid event type/;

        my $t = start('', MAIN => '', EVENTS => "use $method;");
        $t->emulator->fault(submit => 1, delay => 1);
        $t->emulator->fault(submit => 2, delay => 4);
        my ($first, $second) = (submit($t, 'first', 'one'), submit($t, 'second', 'two'));
        ok $t->emulator->wait_for(submit => 2), 'both are on their way';
        my ($worker) = $t->worker_pids;
        kill QUIT => $t->master_pid;
        # Its outcome is told to the other workers, of which there are none.
        is $first->response->{status}, 202, 'the first one is accepted';

        my $begin = cpu($worker);
        sleep 1;
        cmp_ok cpu($worker) - $begin, '<', 0.2, 'no processor time is used while it waits';
        is $second->response->{status}, 202, 'and so is the second one';
        ok $t->stop, 'nginx quits by itself';
        $t->done;
    };
}


# Seconds.
sub cpu ($pid) {
    open my $file, '<', "/proc/$pid/stat" or return 1e9;
    my @field = split ' ', (<$file> =~ s/.*\)//r);
    return ($field[11] + $field[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}


done_testing;
