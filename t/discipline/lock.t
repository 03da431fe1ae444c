use strict;
use warnings;
use v5.36;

# The zone is touched under its lock only, and nothing that takes long is done there. The same
# over the whole suite is "make lockcheck".

use FindBin;
use lib "$FindBin::Bin/../lib";
use Test::More;

use CompletionAsync::Linked;
use CompletionAsync::Scenario;

plan skip_all => 'the module is linked in already' if $ENV{TEST_NGINX_STATIC};

sub walk ($name, @defects) {
    local $ENV{TEST_NGINX_MODULE}
        = CompletionAsync::Linked->module($name, 't/discipline/lock.c', @defects);
    my $t = CompletionAsync::Scenario->start;

    for my $step (CompletionAsync::Scenario->steps($t, 'lock')) {
        my ($what, @responses) = $step->();
        return $t if @defects && $t->log =~ /\[alert\]/;
        is scalar(grep { $_->{status} && $_->{status} < 500 } @responses), scalar @responses, $what
            or diag explain [ map { [ @$_{qw(status error body)} ] } @responses ] if !@defects;
    }
    return $t;
}

# The controls: what is to be found is found.

for my $case (
    [ touch    => qr/\[alert\] the zone was touched without its lock/ ],
    [ allocate => qr/\[alert\] .*ngx_alloc\(\) under the zone's lock/ ],
) {
    my ($name, $alert) = @$case;
    my $t = walk("lock_$name", "t/discipline/lock_$name.c");
    like $t->log, $alert, "a defect is found: $name";
}

walk('lock')->done;
